"""Files of packets: formats, link types, headers, and what hostile ones give."""

import struct

import captures
import pytest
from captures import (
    Conversation,
    Packet,
    block,
    capture,
    enhanced,
    interface,
    pcap,
    section,
)
from handshakes import REQUEST, RESPONSE
from hypothesis import given, settings
from hypothesis import strategies as st
from recorder import OPEN, analyze

from sockwarden.agent.sources import sources

C2S, S2C = b"from the client" * 200, b"from the server" * 300
IPV4 = 2
IPV6 = 10


def conversation(client: str = "10.9.0.1", server: str = "10.9.0.2") -> Conversation:
    talk = Conversation((client, 20000), (server, 8080)).open()
    return talk.send(0, REQUEST).send(1, RESPONSE).send(0, C2S).send(1, S2C).close()


TALK = conversation()
TALK6 = conversation("2001:db8::1", "2001:db8::2")
STREAMS = (REQUEST + C2S, RESPONSE + S2C)


def test_the_registry_finds_each_source() -> None:
    assert [source.name for source in sources()] == ["HAR", "pcap", "pcapng"]


@pytest.mark.parametrize("link", [1, 101, 0, 108, 113, 228, 276])
def test_link_types_with_ipv4(link: int) -> None:
    result = analyze(capture(TALK.packets, link))
    assert result.error is None
    assert result.only.streams == STREAMS
    assert result.only.end == (len(STREAMS[0]), len(STREAMS[1]))


@pytest.mark.parametrize("link", [1, 101, 0, 108, 113, 229, 276])
def test_link_types_with_ipv6(link: int) -> None:
    assert analyze(capture(TALK6.packets, link)).only.streams == STREAMS


def test_addresses_are_the_servers_local_and_the_clients_remote() -> None:
    fields = struct.unpack("=QQIiHHHH16s16s", analyze(capture(TALK.packets)).only.open)
    assert fields[2:8] == (0, -1, IPV4, 0, 8080, 20000)
    assert fields[8][:4] == bytes([10, 9, 0, 2])
    assert fields[9][:4] == bytes([10, 9, 0, 1])
    fields = struct.unpack("=QQIiHHHH16s16s", analyze(capture(TALK6.packets)).only.open)
    assert fields[4] == IPV6
    assert fields[8] == bytes.fromhex("20010db8000000000000000000000002")
    assert OPEN == 1


@pytest.mark.parametrize(
    "tags", ["81000005", "88a8000781000005", "91000007810000058100000681000007"]
)
def test_vlan_tags(tags: str) -> None:
    frames = [(p.time_ns, p.frame(tags=bytes.fromhex(tags))) for p in TALK.packets]
    assert analyze(pcap(frames)).only.streams == STREAMS


def test_a_vlan_tag_behind_a_cooked_header() -> None:
    frames = [(p.time_ns, bytes(14) + b"\x81\x00\x00\x05\x08\x00" + p.ip()) for p in TALK.packets]
    assert analyze(pcap(frames, link=113)).only.streams == STREAMS


def test_ipv4_options_and_ethernet_padding() -> None:
    header = bytes(12) + b"\x08\x00"
    frames = [(p.time_ns, header + p.ip(options=bytes(8)) + bytes(18)) for p in TALK.packets]
    assert analyze(pcap(frames)).only.streams == STREAMS


@pytest.mark.parametrize(
    ("first", "extensions"),
    [
        (0, "0600000000000000"),  # hop by hop
        (60, "2b0000000000000006010000000000000000000000000000"),  # destination, routing
        (44, "0600000000000001"),  # an atomic fragment
        (51, "060400000000000000000000000000000000000000000000"),  # authentication
    ],
)
def test_ipv6_extension_headers(first: int, extensions: str) -> None:
    header = bytes(12) + b"\x86\xdd"
    frames = [
        (p.time_ns, header + p.ip(extensions=bytes.fromhex(extensions), first=first))
        for p in TALK6.packets
    ]
    assert analyze(pcap(frames)).only.streams == STREAMS


def test_segmentation_offload_leaves_the_ip_length_zero() -> None:
    frames = []
    for packet in TALK.packets:
        ip = bytearray(packet.ip())
        ip[2:4] = b"\0\0"
        frames.append((packet.time_ns, bytes(ip)))
    assert analyze(pcap(frames, link=101)).only.streams == STREAMS


def test_ip_fragments_are_counted() -> None:
    ip = bytearray(TALK.packets[0].ip())
    ip[6:8] = b"\x20\x00"
    frames = [(0, bytes(ip)), *((p.time_ns, p.ip()) for p in TALK.packets)]
    result = analyze(pcap(frames, link=101))
    assert result.only.streams == STREAMS
    assert result.lost == {"ip_fragments": 1}


@pytest.mark.parametrize(
    ("place", "octets"),
    [
        pytest.param(2, "ffff", id="IP length beyond the wire"),
        pytest.param(2, "0010", id="IP length below its header"),
        pytest.param(0, "44", id="IP header too short"),
        pytest.param(32, "40", id="TCP header too short"),
        pytest.param(32, "f0", id="TCP header beyond the segment"),
    ],
)
def test_lengths_that_contradict_each_other_are_counted(place: int, octets: str) -> None:
    lying = bytearray(TALK.packets[0].ip())
    lying[place : place + len(octets) // 2] = bytes.fromhex(octets)
    frames = [(0, bytes(lying)), *((p.time_ns, p.ip()) for p in TALK.packets)]
    result = analyze(pcap(frames, link=101))
    assert result.only.streams == STREAMS
    assert result.lost == {"packets_malformed": 1}


def test_other_protocols_are_passed_over() -> None:
    udp = bytearray(TALK.packets[0].ip())
    udp[9] = 17
    arp = bytes(12) + b"\x08\x06" + bytes(28)
    frames = [(0, bytes(14) + bytes(udp)), (0, arp), (0, b"short")]
    frames += [(p.time_ns, p.frame()) for p in TALK.packets]
    assert analyze(pcap(frames)).only.streams == STREAMS


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("magic", [captures.MICROSECONDS, captures.NANOSECONDS])
def test_pcap_orders_and_timestamps(order: str, magic: int) -> None:
    frames = [(p.time_ns, p.frame()) for p in TALK.packets]
    result = analyze(pcap(frames, order=order, magic=magic))
    assert result.only.streams == STREAMS
    assert result.only.time_ns == TALK.packets[3].time_ns


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_orders(order: str) -> None:
    content = section(order) + interface(1, order=order)
    content += b"".join(enhanced(p.time_ns, p.frame(), order=order) for p in TALK.packets)
    result = analyze(content)
    assert (result.error, result.only.streams) == (None, STREAMS)
    assert result.only.time_ns == TALK.packets[3].time_ns


def test_pcapng_resolutions_and_offset() -> None:
    microseconds = TALK.packets[3].time_ns // 1000
    frames = b"".join(enhanced(p.time_ns // 1000, p.frame()) for p in TALK.packets)
    assert analyze(section() + interface(1, unit=6) + frames).only.time_ns == microseconds * 1000
    without_option = block(1, struct.pack("<HHI", 1, 0, 0))
    assert analyze(section() + without_option + frames).only.time_ns == microseconds * 1000
    # Units of 2**-20 seconds, 100 seconds after the epoch
    options = struct.pack("<HHB3xHHqHH", 9, 1, 0x80 | 20, 14, 8, 100, 0, 0)
    binary = section() + block(1, struct.pack("<HHI", 1, 0, 0) + options)
    binary += b"".join(enhanced(3 << 19, p.frame()) for p in TALK.packets)
    assert analyze(binary).only.time_ns == 101_500_000_000


def test_pcapng_interfaces_of_different_link_types_and_snapshot_lengths() -> None:
    links = [1, 113, 101, 147]
    content = section() + b"".join(interface(link, snapshot=65535 + link) for link in links)
    content += enhanced(1, b"of a link type for private use", on=3)
    for number, packet in enumerate(TALK.packets):
        content += enhanced(packet.time_ns, packet.frame(links[number % 3]), on=number % 3)
    result = analyze(content)
    assert (result.error, result.only.streams) == (None, STREAMS)
    assert result.lost == {"packets_of_unread_link_types": 1}


def test_pcapng_sections_simple_packets_and_other_blocks() -> None:
    half = len(TALK.packets) // 2
    content = section() + block(0x0BAD, b"custom") + interface(1)
    content += b"".join(
        block(3, struct.pack("<I", len(p.frame())) + p.frame()) for p in TALK.packets[:half]
    )
    content += section(">") + interface(101, order=">") + block(5, bytes(12), ">")
    content += b"".join(enhanced(p.time_ns, p.ip(), order=">") for p in TALK.packets[half:])
    result = analyze(content)
    assert (result.error, result.only.streams) == (None, STREAMS)


@pytest.mark.parametrize(
    ("content", "place", "reason"),
    [
        (b"", "byte 0", "it is empty"),
        (b"GIF89a", "byte 0", "begins with 47 49 46 38"),
        (pcap([], link=147), "file header", "link type 147 are not read"),
        (pcap([])[:20], "file header", "truncated"),
        (pcap([(0, bytes(60))])[:-1], "packet 1", "truncated"),
        (section()[:20], "byte 0", "ends inside a block of 28 bytes"),
        (section() + b"\x06\0\0\0", "byte 28", "ends inside a block's header"),
        (section() + struct.pack("<III", 6, 7, 0), "byte 28", "a block of 7 bytes"),
        (section() + struct.pack("<III", 6, 1 << 30, 0), "byte 28", "a block of 1073741824 bytes"),
        (section() + enhanced(0, b"abcd"), "byte 28", "interface 0, which is not described"),
        (section()[:8] + bytes(20), "byte 0", "without a byte order"),
        (
            section() + interface(1) + block(6, struct.pack("<IIIII", 0, 0, 0, 99, 99)),
            "byte 60",
            "longer than its block",
        ),
        (section() + block(1, b"1234"), "byte 28", "shorter than its fields"),
        (section()[:-4] + b"\x1d\0\0\0", "byte 0", "two lengths differ"),
    ],
)
def test_malformed_files(content: bytes, place: str, reason: str) -> None:
    error = analyze(content).error
    assert error is not None
    assert error.place == place
    assert reason in error.reason
    assert "\n" not in str(error)


NG = section() + interface(1) + b"".join(enhanced(p.time_ns, p.frame()) for p in TALK.packets[:6])


@pytest.mark.parametrize("content", [capture(TALK.packets[:6]), NG])
def test_a_file_cut_anywhere_gives_its_beginning_and_at_most_an_error(content: bytes) -> None:
    for size in range(len(content)):
        result = analyze(content[:size])
        for connection in result.connections:
            for stream, whole in zip(connection.streams, STREAMS, strict=True):
                assert whole.startswith(stream)
    assert analyze(content).only.streams == (REQUEST, RESPONSE)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_octets_turned_over_give_at_most_an_error(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from([capture(TALK.packets[:9]), NG])))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=12)):
        content[place] = data.draw(st.integers(0, 255))
    analyze(bytes(content))


@given(st.binary(max_size=300), st.sampled_from([0, 1, 12, 101, 108, 113, 228, 229, 276]))
@settings(max_examples=150, deadline=None)
def test_packets_of_any_octets_are_no_error(frame: bytes, link: int) -> None:
    assert analyze(pcap([(0, frame), (0, b"\x45" + frame)], link=link)).error is None


def test_headers_cut_at_every_octet_are_no_error() -> None:
    packet = Packet(("2001:db8::1", 1), ("2001:db8::2", 2), 0, 0, captures.SYN)
    header = packet.ip(extensions=bytes.fromhex("2b00000000000000") * 2, first=60)
    for size in range(len(header)):
        assert analyze(pcap([(0, header)], link=101, snapshot=size)).error is None
