"""TCP streams out of captures that are out of order, repeated, or not whole."""

from dataclasses import replace

import pytest
from captures import ACK, FIN, RST, SYN, Conversation, Packet, capture
from handshakes import REQUEST, RESPONSE
from hypothesis import given, settings
from hypothesis import strategies as st
from recorder import READ, WRITE, analyze

NUMBERS = b"".join(number.to_bytes(4, "big") for number in range(5000))


def talk(segment: int = 500, first: tuple[int, int] = (1000, 5000)) -> Conversation:
    """A handshake, then 4 rounds in which each side sends 2500 octets."""
    made = Conversation(segment=segment, first=list(first)).open()
    made.send(0, REQUEST).send(1, RESPONSE)
    for turn in range(4):
        for direction in range(2):
            made.send(direction, NUMBERS[turn * 2500 : (turn + 1) * 2500])
    return made.close()


STREAMS = (REQUEST + NUMBERS[:10000], RESPONSE + NUMBERS[:10000])
HANDSHAKE_PACKETS = 3
PACKETS = talk().packets


# By how many places a packet may be late here; tcp.pyx has patience for more.
LATE = 15


@given(st.lists(st.integers(0, LATE), min_size=len(PACKETS), max_size=len(PACKETS)))
@settings(max_examples=100, deadline=None)
def test_packets_out_of_order_give_the_same_streams(delays: list[int]) -> None:
    delays[:HANDSHAKE_PACKETS] = [-1] * HANDSHAKE_PACKETS
    order = sorted(range(len(PACKETS)), key=lambda index: index + delays[index])
    result = analyze(capture(PACKETS[index] for index in order))
    assert result.only.streams == STREAMS
    assert result.only.end == tuple(map(len, STREAMS))
    assert result.lost == {}


@given(
    st.lists(
        st.tuples(st.integers(3, len(PACKETS)), st.integers(0, len(PACKETS) - 1)), max_size=LATE
    )
)
@settings(max_examples=100, deadline=None)
def test_repeated_packets_anywhere_change_nothing(repeats: list[tuple[int, int]]) -> None:
    packets = list(PACKETS)
    for place, index in sorted(repeats, reverse=True):
        packets.insert(max(place, index - LATE), PACKETS[index])
    result = analyze(capture(packets))
    assert result.only.streams == STREAMS
    assert result.lost == {}


@given(st.lists(st.integers(1, 400), min_size=1), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_overlapping_pieces_give_the_stream(sizes: list[int], random) -> None:  # type: ignore[no-untyped-def]  # hypothesis gives no type
    made = Conversation().open().send(0, REQUEST).send(1, RESPONSE)
    stream, base = NUMBERS[:3000], made.next[0]
    pieces = []
    starts = [0]
    for size in sizes:
        starts.append((starts[-1] + size) % len(stream))
    # Pieces that overlap by chance, and some that cover what they may have left out.
    spans = [(start, min(len(stream), start + 700)) for start in starts]
    spans += [(start, start + 100) for start in range(0, len(stream), 100)]
    random.shuffle(spans)
    for start, stop in spans:
        pieces.append(
            replace(
                made.packets[-1],
                source=made.client,
                destination=made.server,
                sequence=base + start,
                acknowledgement=made.next[1],
                payload=stream[start:stop],
            )
        )
    result = analyze(capture(made.packets + pieces))
    assert result.only.streams == (REQUEST + stream, RESPONSE)
    assert result.lost == {}


@pytest.mark.parametrize("first", [2**32 - 1, 2**32 - 200, 2**32 - 5000, 2**31 - 100, 0])
def test_sequence_numbers_wrap(first: int) -> None:
    assert analyze(capture(talk(first=(first, first)).packets)).only.streams == STREAMS


def test_directions_come_in_causal_order_whatever_the_capture_did() -> None:
    made = Conversation().open().send(0, REQUEST, ack=False).send(1, RESPONSE, ack=False)
    for turn in range(20):
        made.send(turn % 2, b"%02d" % turn, ack=False)
    swapped = [
        packet
        for pair in zip(made.packets[4::2], made.packets[3::2], strict=True)
        for packet in pair
    ]
    result = analyze(capture(made.packets[:3] + swapped))
    assert b"".join(data for _, _, data in result.order[2:]) == b"".join(
        b"%02d" % turn for turn in range(20)
    )


def test_the_first_octets_win_where_an_overlap_differs() -> None:
    made = Conversation().open().send(0, REQUEST).send(1, RESPONSE)
    made.send(0, b"a" * 100, ack=False).send(0, b"b" * 100, ack=False).send(0, b"c" * 100)
    first, second = made.packets[-4], made.packets[-3]
    forged = replace(second, payload=b"X" * 100)
    packets = [*made.packets[:-4], second, forged, first, *made.packets[-2:]]
    result = analyze(capture(packets))
    assert result.only.streams[0] == REQUEST + b"a" * 100 + b"b" * 100 + b"c" * 100
    assert result.lost == {"overlaps_that_differ": 1}


@pytest.mark.parametrize("missing", range(len(PACKETS)))
def test_one_missing_packet_is_a_hole_of_its_size_and_place(missing: int) -> None:
    gone = PACKETS[missing]
    result = analyze(capture(PACKETS[:missing] + PACKETS[missing + 1 :]))
    if gone.payload == REQUEST:
        # The 101 alone shows that a connection begins.
        assert result.only.streams == (STREAMS[0].removeprefix(REQUEST), STREAMS[1])
        return
    flow = READ if gone.source[1] == 20000 else WRITE
    whole = STREAMS[flow]
    assert result.only.end == tuple(map(len, STREAMS))
    assert result.only.stream(1 - flow) == STREAMS[1 - flow]
    holes = len(whole) - sum(len(data) for _, data in result.only.runs[flow])
    assert holes == len(gone.payload)
    for position, data in result.only.runs[flow]:
        assert data == whole[position : position + len(data)]
    expected = {"bytes_not_captured": len(gone.payload)} if gone.payload else {}
    assert result.lost == expected


def test_a_hole_is_passed_on_long_before_the_capture_ends() -> None:
    made = Conversation(segment=100).open().send(0, REQUEST).send(1, RESPONSE)
    made.send(0, NUMBERS[:5000]).send(1, b"the server's last words")
    for _ in range(200):
        made.send(0, b"client", ack=False).send(1, b"server", ack=False)
    del made.packets[8]
    order = [data for _, _, data in analyze(capture(made.packets)).order]
    late = order.index(b"client")
    assert late < len(order) - 350


def test_an_unacknowledged_hole_waits_for_its_retransmission() -> None:
    made = Conversation(segment=100).open().send(0, REQUEST).send(1, RESPONSE)
    lost_at = len(made.packets)
    made.send(0, NUMBERS[:10_000], ack=False)
    lost = made.packets.pop(lost_at)
    made.time_ns += 3 * 10**9
    made.packets.append(replace(lost, time_ns=made.time_ns))
    result = analyze(capture(made.packets))
    assert result.only.streams[0] == REQUEST + NUMBERS[:10_000]
    assert result.lost == {}


def test_what_is_held_behind_a_hole_is_bounded() -> None:
    made = Conversation(segment=1400).open().send(0, REQUEST).send(1, RESPONSE)
    lost_at = len(made.packets)
    made.send(0, bytes(6_000_000), ack=False)
    del made.packets[lost_at]
    result = analyze(capture(made.packets))
    first_behind = next(body for _, flow, body in result.order[3:] if flow == READ)
    assert len(first_behind) == 1400
    assert result.only.runs[READ][1] == (len(REQUEST) + 1400, bytes(6_000_000 - 1400))


def test_snapshot_lengths_leave_holes_in_every_segment() -> None:
    made = Conversation(segment=1000).open().send(0, REQUEST).send(1, RESPONSE)
    made.send(0, NUMBERS[:3000]).close()
    result = analyze(capture(made.packets, snapshot=54 + 400))
    at = len(REQUEST)
    assert result.only.runs[READ] == [
        (0, REQUEST + NUMBERS[:400]),
        (at + 1000, NUMBERS[1000:1400]),
        (at + 2000, NUMBERS[2000:2400]),
    ]
    assert result.only.end == (at + 3000, len(RESPONSE))
    assert result.lost == {"bytes_beyond_snapshot": 1800}


@pytest.mark.parametrize("seen", [0, 1])
def test_a_capture_of_one_direction(seen: int) -> None:
    packets = [packet for packet in PACKETS if (packet.source[1] == 8080) == bool(seen)]
    result = analyze(capture(packets))
    # All that is known of the other one is what was acknowledged, perhaps its FIN included.
    if seen:
        assert result.only.streams == (b"", STREAMS[1])
        assert result.only.end == (len(STREAMS[0]) - len(REQUEST), len(STREAMS[1]))
    else:
        assert result.only.runs[READ] == [(0, STREAMS[0])]
        assert result.only.end == (len(STREAMS[0]), len(STREAMS[1]) + 1)


@pytest.mark.parametrize("skipped", [1, 2, 3])
def test_connections_without_their_first_packets(skipped: int) -> None:
    assert analyze(capture(PACKETS[skipped:])).only.streams == STREAMS


def test_a_connection_that_was_upgraded_before_the_capture_is_not_known() -> None:
    assert analyze(capture(PACKETS[6:])).connections == []


def test_ports_used_again_are_a_new_connection() -> None:
    again = talk(first=(90_000, 70_000)).packets
    for packets in (PACKETS + again, PACKETS[:-3] + again):
        result = analyze(capture(packets))
        assert [connection.streams for connection in result.connections] == [STREAMS, STREAMS]


def test_a_reset_ends_the_connection_and_a_forged_one_does_not() -> None:
    made = Conversation().open().send(0, REQUEST).send(1, RESPONSE).send(0, b"before")
    forged = replace(made.packets[-2], flags=RST, sequence=made.next[0] - 2**20, payload=b"")
    made.packets.append(forged)
    made.send(0, b"after")
    made.packet(1, RST | ACK)
    made.send(0, b"stray")
    result = analyze(capture(made.packets))
    assert result.only.streams[0] == REQUEST + b"before" + b"after"
    assert result.only.end == (len(REQUEST) + 11, len(RESPONSE))


def test_a_refused_connection_and_strays_are_nothing() -> None:
    made = Conversation()
    made.packet(0, SYN)
    made.packet(1, RST | ACK)
    made.packet(0, FIN | ACK)
    result = analyze(capture(made.packets))
    assert (result.connections, result.lost, result.error) == ([], {}, None)


def test_many_connections_side_by_side() -> None:
    talks = [
        Conversation((f"10.9.{number}.1", 20000 + number), segment=300)
        .open()
        .send(0, REQUEST)
        .send(1, RESPONSE)
        .send(0, b"%03d" % number * 400)
        for number in range(200)
    ]
    packets = [
        packet for turn in zip(*(made.packets for made in talks), strict=True) for packet in turn
    ]
    result = analyze(capture(packets))
    streams = sorted(connection.streams[0] for connection in result.connections)
    assert streams == [REQUEST + b"%03d" % number * 400 for number in range(200)]


def test_a_flood_of_connections_does_not_evict_a_websocket() -> None:
    made = Conversation().open().send(0, REQUEST).send(1, RESPONSE)
    flood = [
        Packet(("10.8.0.1", port), ("10.8.0.2", server), 0, 0, SYN)
        for server in range(1, 4)
        for port in range(30_000)
    ]
    packets = made.packets + flood
    before = len(made.packets)
    made.send(0, b"still here")
    result = analyze(capture(packets + made.packets[before:]))
    assert result.only.streams[0] == REQUEST + b"still here"
    assert result.lost == {"connections_evicted": 90_001 - 65_536}
