"""The lines of `sockwarden analyze --json` by connection, and as the oracle would write them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import oracle
from case import CLIENT, SERVER, Case, Line
from playing import Way

RULES = Path(__file__).parent.parent / "cli" / "rules"
NAMES = ("c2s", "s2c")


def analyze(path: Path) -> list[Line]:
    done = subprocess.run(
        [sys.executable, "-m", "sockwarden.cli", "analyze", "--json", "--rules", RULES, path],
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[-1]["type"] == "counters"
    return lines


def connections(lines: list[Line], way: Way, cases: list[Case]) -> list[list[Line]]:
    """Each case's lines without its number; its connection is known by the client's address."""
    opened = [line for line in lines if line["type"] == "connection"]
    assert [line["conn"] for line in opened] == list(range(1, len(opened) + 1))
    assert len(opened) == len(cases)
    numbers = {line["client"]: line["conn"] for line in opened}
    of: dict[int, list[Line]] = {number: [] for number in numbers.values()}
    for line in lines:
        of[line.pop("conn")].append(line)
    found = []
    for at, case in enumerate(cases):
        first, *rest = of[numbers[way.client(at)]]
        assert first["type"] == "connection"
        assert first["path"] == "/" + case.name.replace(" ", "-")
        assert first["extensions"] == case.extensions
        found.append(rest)
    return found


def of_oracle(case: Case, direction: int, pieces: list[bytes | int]) -> list[Line]:
    """`pieces`: the octets, or how many are missing."""
    takeover = case.takeover[direction] if case.packed else None
    events = oracle.decode(("client", "server")[direction], pieces, takeover)
    return [_line(event, NAMES[direction]) for event in events]


def as_far_as_known(
    found: list[Line], case: Case, direction: int, pieces: list[bytes | int]
) -> tuple[list[Line], list[Line]]:
    """What was found, without what was told from behind a hole over a header; what the oracle
    tells of that."""
    takeover = case.takeover[direction] if case.packed else None
    read = oracle.read(("client", "server")[direction], pieces, takeover)
    told = [_line(event, NAMES[direction]) for event in read.events]
    if read.lost_at is None:
        return found, told
    gaps = [line for line in found[read.lost_at :] if line.get("kind") == "gap"]
    return found[: read.lost_at] + gaps, told


def _line(event: tuple[Any, ...], direction: str) -> Line:
    peer = CLIENT if direction == CLIENT.name else SERVER
    if event[0] == "anomaly":
        return peer.anomaly(*event[1:])
    if event[0] == "control":
        _, opcode, _, length, code, *_ = event
        return peer.control(opcode, length, code)
    _, opcode, payload, length, packed, fragments, late, complete, *_ = event
    assert length == len(payload)
    line = peer.message(opcode, payload, fragments, packed=packed, late=late)
    return line if complete else line | {"sha256": None}
