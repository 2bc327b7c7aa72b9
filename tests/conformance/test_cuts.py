"""Each case's octets, cut in two at every place and octet by octet: always the oracle's events."""

import oracle
import pytest
import wire
from case import Case
from table import CASES

from sockwarden.parser import ConnectionDecoder, DeflateParameters, FrameDecoder, Handshake

SENDERS = ("client", "server")
SHORT_BYTES, LONG_BYTES = 120, 4_000  # cut everywhere, cut into octets


def decoder(case: Case, direction: int) -> FrameDecoder:
    parameters = None
    if case.packed:
        parameters = DeflateParameters(no_context_takeover=not case.takeover[direction])
    return FrameDecoder(SENDERS[direction], parameters)


def told(case: Case, direction: int, pieces: list[bytes]) -> list[tuple[object, ...]]:
    reader = decoder(case, direction)
    events = [event for piece in pieces for event in reader.feed(piece)] + reader.end()
    return [oracle.as_tuple(event) for event in events]


@pytest.mark.parametrize("direction", [0, 1], ids=SENDERS)
def test_every_cut_of_every_case(direction: int) -> None:
    streams = 0
    for case in CASES:
        stream = case.stream[direction]
        if not stream or len(stream) > LONG_BYTES:
            continue
        takeover = case.takeover[direction] if case.packed else None
        expected = oracle.decode(SENDERS[direction], [stream], takeover)
        ways = wire.cuts(stream) if len(stream) <= SHORT_BYTES else [wire.octets(stream)]
        for pieces in ways:
            assert told(case, direction, pieces) == expected, case.name
        streams += 1
    assert streams > 300


def test_the_handshakes_octet_by_octet() -> None:
    for case in CASES[::10]:
        reader = ConnectionDecoder()
        events = []
        for direction, head in zip(("c2s", "s2c"), case.handshake(), strict=True):
            for at, octet in enumerate(head):
                events += reader.feed(direction, at, bytes([octet]))
        assert events == [Handshake(*case.handshake())]
        assert events[0].extensions == case.extensions
