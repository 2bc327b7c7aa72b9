"""`make bench-pipeline`: from records in a ring to verdicts, on one core, with the rules that ship.

The ring is laid out in memory as the kernel lays it out, filled with whole connections, and drained
as the agent drains it.  Each stream comes three times: in records of the probe's largest size, of
1,448 B (a TCP segment a call), and in one for each message.  Time passes in the records as it would
for clients of 200 messages/s, so nothing floods.  Beside it the parser alone decodes the same
bytes; they take turns.  The last line is one JSON object,
{stream: {"messages_per_s", "ns_per_message", "vs_decoding": our time divided by the parser's,
"lost": messages and records}}.
"""

import argparse
import json
import mmap
import os
import statistics
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, zip_longest
from types import ModuleType

import corpora
import native
from machine import machine

from sockwarden.agent.alert import Alert
from sockwarden.agent.pipeline import Pipeline
from sockwarden.agent.ring import Ring
from sockwarden.agent.rules.load import load_rules

PIECE_BYTES = 16_384  # the probe's largest record
SEGMENT_BYTES = 1_448
STREAM_BYTES = 12 << 20
CONNECTIONS = 64
MESSAGE_NS = 5_000_000
RECORDS_A_TURN = 4096  # as agent/live.py

RECORD = struct.Struct("<QQQQIIIBBBB")
OPENING = struct.Struct("<QQIiHHHH16s16s")
ENDING = struct.Struct("<QQ")
OPEN, DATA, CLOSE = 1, 2, 3
READ, WRITE = 0, 1
SERVER, IPV4 = 1, 2
REQUEST = (
    b"GET /feed HTTP/1.1\r\nHost: shop.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
RESPONSE = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


@dataclass(frozen=True)
class Traffic:
    """One client's frames."""

    number: int
    frames: list[bytes]

    def pieces(self, size: int | None) -> Iterator[tuple[bytes, int]]:
        """Its bytes in pieces, each with how many messages came before; None: frame by frame."""
        if size is None:
            yield from ((frame, at) for at, frame in enumerate(self.frames))
            return
        stream = b"".join(self.frames)
        for at in range(0, len(stream), size):
            yield stream[at : at + size], len(self.frames) * at // len(stream)

    def records(self, size: int | None) -> Iterator[bytes]:
        opening = OPENING.pack(5, 6, 1000, 7, IPV4, 0, 80, 40_000, b"\x0a\0\0\1", b"\x0a\0\0\2")
        yield self._record(OPEN, opening)
        yield self._record(DATA, REQUEST, flow=READ)
        yield self._record(DATA, RESPONSE, flow=WRITE)
        position = len(REQUEST)
        for piece, before in self.pieces(size):
            yield self._record(DATA, piece, flow=READ, position=position, messages=before)
            position += len(piece)
        last = len(self.frames)
        yield self._record(CLOSE, ENDING.pack(position, len(RESPONSE)), messages=last)

    def _record(
        self, kind: int, data: bytes, *, flow: int = READ, position: int = 0, messages: int = 0
    ) -> bytes:
        time_ns = 1_000_000_000 + messages * MESSAGE_NS
        size = len(data)
        head = RECORD.pack(self.number, time_ns, position, size, size, 0, 1, kind, flow, 0, SERVER)
        return head + data


class Image:
    """A BPF ring in memory (kernel/bpf/ringbuf.c), full of records, that can be read again."""

    def __init__(self, records: Iterator[bytes]) -> None:
        data = bytearray()
        self.records = 0
        for record in records:
            data += struct.pack("<II", len(record), 0) + record
            data += bytes(-len(data) % 8)
            self.records += 1
        self.size = max(mmap.PAGESIZE, 1 << (len(data) - 1).bit_length())
        self._file = os.memfd_create("ring")
        os.ftruncate(self._file, 2 * mmap.PAGESIZE + 2 * self.size)
        os.pwrite(self._file, struct.pack("<Q", len(data)), mmap.PAGESIZE)
        at = 0
        while at < len(data):
            at += os.pwrite(self._file, memoryview(data)[at:], 2 * mmap.PAGESIZE + at)

    def ring(self) -> Ring:
        os.pwrite(self._file, bytes(8), 0)
        return Ring(os.dup(self._file), self.size)


class Alerts:
    """A sink that counts."""

    def __init__(self) -> None:
        self.seen = 0

    def alert(self, report: Alert) -> None:
        self.seen += 1


class Case:
    """One stream in records of one size."""

    def __init__(self, name: str, traffic: list[Traffic], size: int | None) -> None:
        self.name = name
        self.messages = sum(len(each.frames) for each in traffic)
        turns = zip_longest(*(each.records(size) for each in traffic))
        self.image = Image(record for turn in turns for record in turn if record is not None)
        self._streams = [b"".join(each.frames) for each in traffic]
        self._chunk = size or PIECE_BYTES
        self.drained: list[float] = []
        self.decoded: list[float] = []
        self.lost = 0

    def drain(self, pipeline: Pipeline) -> None:
        ring = self.image.ring()
        before = pipeline.counters
        begun = time.process_time()
        while pipeline.drain(ring, RECORDS_A_TURN):
            pipeline.deliver()
        self.drained.append(time.process_time() - begun)
        self.lost += self._lost(before, pipeline.counters) + ring.malformed
        ring.close()

    def _lost(self, before: dict[str, int], after: dict[str, int]) -> int:
        came = {name: after[name] - before.get(name, 0) for name in after}
        return (
            abs(self.messages - came["messages"])
            + abs(self.image.records - came["records"])
            + came["records_bad"]
            + came["records_of_unknown_connections"]
            + came["hits_suppressed"]
            + came["undecoded_bytes"]
            + sum(amount for name, amount in came.items() if name.startswith("anomaly."))
        )

    def decode(self, consumer: ModuleType) -> None:
        begun = time.process_time()
        for stream in self._streams:
            consumer.count(stream, self._chunk, True, False)
        self.decoded.append(time.process_time() - begun)

    def figures(self) -> dict[str, float]:
        took, alone = statistics.median(self.drained), statistics.median(self.decoded)
        return {
            "messages_per_s": round(self.messages / took),
            "ns_per_message": round(took / self.messages * 1e9, 1),
            "vs_decoding": round(took / alone, 2),
            "lost": self.lost,
        }


def cases(name: str) -> Iterator[Case]:
    frames: list[bytes] = []
    size = 0
    for unit in corpora.units(name):
        frames.append(unit[0])
        size += len(unit[0])
        if size >= STREAM_BYTES:
            break
    share = -(-len(frames) // CONNECTIONS)
    parts = [list(islice(frames, at, at + share)) for at in range(0, len(frames), share)]
    traffic = [Traffic(number, part) for number, part in enumerate(parts, 1)]
    yield Case(name, traffic, PIECE_BYTES)
    yield Case(f"{name}_1448", traffic, SEGMENT_BYTES)
    yield Case(f"{name}_each", traffic, None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    consumer = native.consumer()
    rules = load_rules(None)
    alerts = Alerts()
    pipeline = Pipeline(rules, alerts, trace=False)
    measured = [case for name in ("small", "mixed") for case in cases(name)]
    for number in range(options.rounds + 1):
        for case in measured:
            case.drain(pipeline)
            case.decode(consumer)
            if not number:  # the first warms up
                case.drained.clear()
                case.decoded.clear()
    print(f"# Pipeline benchmark: {machine()}; {len(rules.rules)} rules\n")
    print("| stream | messages/s | ns/message | decoding alone, ns | ratio | lost |")
    print("|---|---:|---:|---:|---:|---:|")
    found = {}
    for case in measured:
        found[case.name] = figures = case.figures()
        alone = statistics.median(case.decoded) / case.messages * 1e9
        print(
            f"| {case.name} | {figures['messages_per_s']:,} | {figures['ns_per_message']:,.1f} "
            f"| {alone:,.1f} | {figures['vs_decoding']:.1f} | {figures['lost']} |"
        )
    print(f"\n{alerts.seen} alerts")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
