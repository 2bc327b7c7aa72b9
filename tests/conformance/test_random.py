"""Conversations made at random, mostly wrong ones, as the oracle tells them.

Whole ones are played late and twice; of others segments are missing in the capture, so that gaps
must come out at their place, with their size, and nothing behind them wrong.
"""

import random
from pathlib import Path

import pytest
import wire
from case import CLIENT, SERVER, Case, Peer
from lines import NAMES, analyze, as_far_as_known, connections, of_oracle
from playing import WAYS, Way

OPCODES = (0, 0, 0, 1, 1, 1, 1, 2, 2, 8, 9, 10, 3, 12)
TEXTS = (b"", b"abc", "Δ€😀".encode(), b"\xff", b"\xe2\x82", b"\xac", b"\xf0\x9f", b"*" * 140)
CLOSES = (b"", b"\x03", b"\x03\xe8", b"\x03\xe8bye", b"\x03\xed", b"\x00\x00", b"\x03\xe8\xff")
EXTENSIONS = (
    (None, (True, True)),
    ("permessage-deflate", (True, True)),
    ("permessage-deflate; client_no_context_takeover", (False, True)),
)


def frame(rng: random.Random, peer: Peer, deflater: wire.Deflater | None) -> bytes:
    opcode = rng.choice(OPCODES)
    payload = rng.choice(CLOSES if opcode == 8 else TEXTS)
    how = {"fin": rng.random() < 0.7}
    if deflater and opcode in (1, 2) and rng.random() < 0.6:
        payload, how["rsv"] = deflater(payload), 4
    if rng.random() < 0.05:
        how["rsv"] = rng.randrange(8)
    if rng.random() < 0.05:
        how["key"] = None if peer.key else wire.KEY
    if rng.random() < 0.05:
        how["form"] = rng.choice((2, 8))
    if rng.random() < 0.02:
        payload = payload[:1]
    return peer.frame(opcode, payload, **how)


def cases(seed: int, amount: int) -> list[Case]:
    rng = random.Random(seed)
    made = []
    for number in range(amount):
        extensions, takeover = rng.choice(EXTENSIONS)
        deflaters = [wire.Deflater(no_context_takeover=not keeps) for keeps in takeover]
        steps = []
        for _ in range(rng.randrange(2, 14)):
            peer = rng.choice((CLIENT, SERVER))
            deflater = deflaters[peer.direction] if extensions else None
            octets = b"".join(frame(rng, peer, deflater) for _ in range(rng.randrange(1, 4)))
            steps.append(
                peer.raw(octets[: rng.randrange(len(octets))] if rng.random() < 0.03 else octets)
            )
        made.append(Case(f"random {number}", steps, [], extensions, takeover))
    return made


@pytest.mark.parametrize("way", [WAYS[1], WAYS[-1]], ids=lambda way: way.name)
def test_whole_conversations(way: Way, tmp_path: Path) -> None:
    played = cases(6455, 300)
    path = tmp_path / "capture"
    path.write_bytes(way.file(played))
    for case, lines in zip(played, connections(analyze(path)[:-1], way, played), strict=True):
        for direction, name in enumerate(NAMES):
            found = [line for line in lines if line["dir"] == name]
            assert found == of_oracle(case, direction, [case.stream[direction]]), case.name


def test_conversations_with_holes(tmp_path: Path) -> None:
    way = Way("with holes", lambda rng: rng.choice((3, 11, 60)), loss=0.1)
    played = cases(7692, 300)
    path = tmp_path / "capture"
    path.write_bytes(way.file(played))
    *lines, counters = analyze(path)
    lost = sum(
        piece for case in way.kept for side in case for piece in side if isinstance(piece, int)
    )
    assert counters["lost"]["bytes_not_captured"] == lost > 1000
    for case, kept, found in zip(played, way.kept, connections(lines, way, played), strict=True):
        for direction, name in enumerate(NAMES):
            told, expected = as_far_as_known(
                [line for line in found if line["dir"] == name], case, direction, kept[direction]
            )
            assert told == expected, case.name
