"""First inputs of each target, made of what the conformance cases say, into build/fuzz/seeds.

A seed is the choices that its target reads first, then octets.  What the bytes mean is in the
docstring of each target.  Run by run.py, which puts the tests' helpers on the path.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import conversation
import playing
import wire
from case import Case
from instrument import BUILT
from table import CASES
from targets import TARGETS

SEEDS = BUILT / "seeds"
CUTS = b"\x01\x02"
OTHER_WAY = b"\xff\x00"
KEEP_ALL = 24  # limits of frames.pyx: 16 MiB of a message


def frames() -> Iterator[bytes]:
    for case in CASES:
        for direction in range(2):
            how = direction | case.packed << 1 | (not case.takeover[direction]) << 2 | 7 << 3
            yield bytes([how, KEEP_ALL]) + CUTS + case.stream[direction]


def deflate() -> Iterator[bytes]:
    for takeover in (0, 1):
        packed = b""
        for text in (b"Hello", b"", b"Hello", b"some words, the same words", bytes(300)):
            payload = wire.Deflater(no_context_takeover=bool(takeover))(text)
            packed += bytes([2 * len(payload)]) + payload
        yield bytes([takeover | 7 << 1]) + CUTS + packed


def talk(*steps: tuple[int, bytes]) -> bytes:
    """As talk.pxd reads it."""
    out, now = b"", 0
    for direction, octets in steps:
        out += (b"" if direction == now else OTHER_WAY) + octets.replace(b"\xff", b"\xff\xff")
        now = direction
    return out


def talks(case: Case) -> bytes:
    request, response = case.handshake()
    return talk(
        (0, request + case.early[0]), (1, response + case.early[1]),
        *((direction, octets) for direction, octets in case.steps),
    )  # fmt: skip


def handshake() -> Iterator[bytes]:
    how = bytes([0xFA]) + CUTS
    for request, response in conversation.EARLIER:
        yield how + talk(
            (0, request), (1, response),
            (0, conversation.REQUEST), (1, conversation.RESPONSE + conversation.SERVER),
        )  # fmt: skip
    yield how + talk((0, conversation.REQUEST), (1, conversation.REFUSAL))
    for case in CASES[::8]:
        yield how + talks(case)


def resync() -> Iterator[bytes]:
    for case in CASES:
        for direction in range(2):
            yield bytes([direction << 1]) + CUTS + case.stream[direction]
    for how in range(1, 32, 2):
        yield bytes([how]) + CUTS + bytes(range(0, 200, 3)) * 6


def records() -> Iterator[bytes]:
    how = b"\x01" + CUTS
    for case in CASES[::4]:
        yield how + talks(case)
    for attack in (b"' OR 1=1 --", b"<script>alert(1)</script>", b"4111 1111 1111 1111"):
        yield how + talk(
            (0, conversation.REQUEST), (1, conversation.RESPONSE),
            (0, wire.frame(wire.TEXT, attack, key=wire.KEY)),
        )  # fmt: skip


def pcap() -> Iterator[bytes]:
    small = [case for case in CASES if case.size < 300][::12]
    for case in small:
        for how in ({}, {"disorder": 0.2}, {"loss": 0.1}, {"ng": True}, {"link": playing.SLL2}):
            yield playing.Way("seed", lambda rng: 400, **how).file([case])


def write() -> None:
    """All seeds anew."""
    shutil.rmtree(SEEDS, ignore_errors=True)
    for target in TARGETS.values():
        folder = SEEDS / target.name
        folder.mkdir(parents=True)
        seeds = {seed for seed in globals()[target.name]() if len(seed) <= target.longest_bytes}
        for number, seed in enumerate(sorted(seeds)):
            Path(folder / f"{number:04}").write_bytes(seed)


if __name__ == "__main__":
    write()
