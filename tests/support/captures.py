"""Writers of small capture files, and TCP conversations to put into them."""

import ipaddress
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

ETHERNET, RAW, NULL, LOOP, SLL, IPV4, IPV6, SLL2 = 1, 101, 0, 108, 113, 228, 229, 276
FIN, SYN, RST, ACK = 1, 2, 4, 16
MICROSECONDS, NANOSECONDS = 0xA1B2C3D4, 0xA1B23C4D


@dataclass(frozen=True)
class Packet:
    """A TCP segment and what is around it on the wire."""

    source: tuple[str, int]
    destination: tuple[str, int]
    sequence: int
    acknowledgement: int
    flags: int
    payload: bytes = b""
    time_ns: int = 0

    def tcp(self) -> bytes:
        return (
            struct.pack(
                ">HHIIBBHHH",
                self.source[1],
                self.destination[1],
                self.sequence % 2**32,
                self.acknowledgement % 2**32,
                5 << 4,
                self.flags,
                65535,
                0,
                0,
            )
            + self.payload
        )

    def ip(self, *, options: bytes = b"", extensions: bytes = b"", first: int = 6) -> bytes:
        """`extensions`: IPv6 extension headers, the first of type `first`."""
        source, destination = (
            ipaddress.ip_address(end[0]) for end in (self.source, self.destination)
        )
        tcp = self.tcp()
        if source.version == 4:
            size = 20 + len(options)
            return (
                struct.pack(">BBHHHBBH", 0x40 | size // 4, 0, size + len(tcp), 0, 0x4000, 64, 6, 0)
                + source.packed
                + destination.packed
                + options
                + tcp
            )
        return (
            struct.pack(">IHBB", 6 << 28, len(extensions) + len(tcp), first, 64)
            + source.packed
            + destination.packed
            + extensions
            + tcp
        )

    def frame(self, link: int = ETHERNET, tags: bytes = b"") -> bytes:
        ip = self.ip()
        ethertype = b"\x08\x00" if ip[0] >> 4 == 4 else b"\x86\xdd"
        match link:
            case 1:
                return bytes(12) + tags + ethertype + ip
            case 0:
                return struct.pack("<I", 2 if ip[0] >> 4 == 4 else 24) + ip
            case 108:
                return struct.pack(">I", 2 if ip[0] >> 4 == 4 else 24) + ip
            case 113:
                return bytes(14) + ethertype + ip
            case 276:
                return ethertype + bytes(18) + ip
            case _:
                return ip


@dataclass
class Conversation:
    """Both ends of one TCP connection, as a capture would show them."""

    client: tuple[str, int] = ("10.9.0.1", 20000)
    server: tuple[str, int] = ("10.9.0.2", 8080)
    first: list[int] = field(default_factory=lambda: [1000, 5000])  # sequence numbers of the SYNs
    segment: int = 1448
    packets: list[Packet] = field(default_factory=list)
    time_ns: int = 1_700_000_000_000_000_000

    def __post_init__(self) -> None:
        self.next = list(self.first)

    def packet(self, direction: int, flags: int, payload: bytes = b"") -> None:
        ends = (self.client, self.server)
        self.time_ns += 50_000
        self.packets.append(
            Packet(
                ends[direction],
                ends[1 - direction],
                self.next[direction],
                self.next[1 - direction] if flags & ACK else 0,
                flags,
                payload,
                self.time_ns,
            )
        )
        self.next[direction] += len(payload) + bool(flags & (SYN | FIN))

    def open(self) -> "Conversation":
        self.packet(0, SYN)
        self.packet(1, SYN | ACK)
        self.packet(0, ACK)
        return self

    def send(self, direction: int, data: bytes, *, ack: bool = True) -> "Conversation":
        for start in range(0, len(data), self.segment):
            self.packet(direction, ACK, data[start : start + self.segment])
        if ack:
            self.packet(1 - direction, ACK)
        return self

    def close(self) -> "Conversation":
        self.packet(0, FIN | ACK)
        self.packet(1, FIN | ACK)
        self.packet(0, ACK)
        return self

    def without(self, index: int) -> list[Packet]:
        return self.packets[:index] + self.packets[index + 1 :]


def pcap(
    frames: Iterable[tuple[int, bytes]],
    *,
    link: int = ETHERNET,
    magic: int = NANOSECONDS,
    order: str = "<",
    snapshot: int = 262144,
) -> bytes:
    """A pcap file of (time in nanoseconds, frame) pairs."""
    unit = 1 if magic == NANOSECONDS else 1000
    parts = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snapshot, link)]
    for time_ns, frame in frames:
        seconds, rest = divmod(time_ns, 10**9)
        kept = frame[:snapshot]
        parts.append(
            struct.pack(order + "IIII", seconds, rest // unit, len(kept), len(frame)) + kept
        )
    return b"".join(parts)


def capture(packets: Iterable[Packet], link: int = ETHERNET, snapshot: int = 262144) -> bytes:
    """A pcap file of these packets."""
    return pcap(((p.time_ns, p.frame(link)) for p in packets), link=link, snapshot=snapshot)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """A pcapng block."""
    body += bytes(-len(body) % 4)
    size = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + size + body + size


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link: int, *, order: str = "<", snapshot: int = 262144, unit: int = 9) -> bytes:
    """An interface whose timestamps count units of 10**-unit seconds."""
    option = struct.pack(order + "HHB3xHH", 9, 1, unit, 0, 0)
    return block(1, struct.pack(order + "HHI", link, 0, snapshot) + option, order)


def enhanced(
    time: int, frame: bytes, *, order: str = "<", on: int = 0, snapshot: int = 262144
) -> bytes:
    kept = frame[:snapshot]
    head = struct.pack(order + "IIIII", on, time >> 32, time & 0xFFFFFFFF, len(kept), len(frame))
    return block(6, head + kept, order)


def moved(packets: Iterable[Packet], **changes: object) -> list[Packet]:
    return [replace(packet, **changes) for packet in packets]  # type: ignore[arg-type]
