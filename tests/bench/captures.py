"""A capture of small messages, any size: what `analyze` and tshark are compared on.

Some connections at a time, each with its handshake and then both directions' streams in full
segments.  The streams come from a few seeds and repeat: a capture of 200 MB takes seconds.
"""

import random
import struct
from collections.abc import Iterator
from typing import BinaryIO

import corpora

SEEDS = 4
STREAM_BYTES = 2 << 20
CONNECTIONS_AT_ONCE = 8
CONNECTION_BYTES = 4 << 20
SEGMENT_BYTES = 1448
CLIENT, SERVER = 0, 1
PORTS = (40_000, 80)
SYN, FIN, ACK, PUSH = 2, 1, 16, 8
REQUEST = (
    b"GET /feed HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
RESPONSE = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)

Packet = tuple[bytes, int]  # of the link type LINKTYPE_RAW; payload bytes


class Connection:
    """One TCP connection over IPv4, packet by packet."""

    def __init__(self, number: int) -> None:
        ends = (bytes((10, 1, number >> 8, number & 255)), bytes((10, 9, 0, 1)))
        ports = (PORTS[CLIENT] + number % 20_000, PORTS[SERVER])
        self._addresses = [ends[side] + ends[1 - side] for side in (CLIENT, SERVER)]
        self._ports = [struct.pack("!HH", ports[side], ports[1 - side]) for side in (0, 1)]
        self._next = [1000, 2000]

    def packet(self, side: int, flags: int, payload: bytes = b"") -> Packet:
        size = 40 + len(payload)
        ip = struct.pack("!BBHHHBBH", 0x45, 0, size, 0, 0x4000, 64, 6, 0) + self._addresses[side]
        tcp = struct.pack(
            "!IIBBHHH",
            self._next[side],
            self._next[1 - side] if flags & ACK else 0,
            5 << 4,
            flags,
            65535,
            0,
            0,
        )
        self._next[side] = (self._next[side] + len(payload) + bool(flags & (SYN | FIN))) % 2**32
        return ip + self._ports[side] + tcp + payload, len(payload)

    def packets(self, streams: list[bytes]) -> Iterator[Packet]:
        """Both directions' streams, a segment each in turn."""
        yield self.packet(CLIENT, SYN)
        yield self.packet(SERVER, SYN | ACK)
        yield self.packet(CLIENT, PUSH | ACK, REQUEST)
        yield self.packet(SERVER, PUSH | ACK, RESPONSE)
        for at in range(0, max(map(len, streams)), SEGMENT_BYTES):
            for side, stream in enumerate(streams):
                if segment := stream[at : at + SEGMENT_BYTES]:
                    yield self.packet(side, PUSH | ACK, segment)
        yield self.packet(CLIENT, FIN | ACK)
        yield self.packet(SERVER, FIN | ACK)


def stream(seed: int, masked: bool) -> bytes:
    """Whole frames."""
    rng = random.Random(f"sockwarden/capture/{seed}/{masked}")
    parts, size = [], 0
    while size < STREAM_BYTES:
        wire = corpora.small(rng, masked)[0]
        parts.append(wire)
        size += len(wire)
    return b"".join(parts)


def packets() -> Iterator[Packet]:
    """Without end."""
    streams = [[stream(seed, masked) for masked in (True, False)] for seed in range(SEEDS)]
    repeats = CONNECTION_BYTES // (2 * STREAM_BYTES) or 1
    number = 0
    while True:
        opened = []
        for _ in range(CONNECTIONS_AT_ONCE):
            both = [one * repeats for one in streams[number % SEEDS]]
            opened.append(Connection(number).packets(both))
            number += 1
        for group in zip(*opened, strict=False):
            yield from group


def write(file: BinaryIO, size: int) -> None:
    """A pcap file of at least `size` bytes."""
    file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))
    written = 24
    for number, (packet, _) in enumerate(packets()):
        seconds, micros = divmod(number * 10, 10**6)
        file.write(struct.pack("<IIII", seconds, micros, len(packet), len(packet)))
        file.write(packet)
        written += 16 + len(packet)
        if written >= size:
            return
