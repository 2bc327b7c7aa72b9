"""Hundreds of conversations, right and wrong, through `sockwarden analyze`: each line is right."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import closing
import deflate
import fragments
import framing
import oracle
import pytest
import sizes
import texts
from case import CLIENT, SERVER, Case, Line
from playing import WAYS, Way

RULES = Path(__file__).parent.parent / "cli" / "rules"
CASES: list[Case] = [
    *framing.CASES, *fragments.CASES, *texts.CASES, *closing.CASES, *deflate.CASES, *sizes.CASES,
]  # fmt: skip
NAMES = ("c2s", "s2c")


def analyze(path: Path) -> list[Line]:
    done = subprocess.run(
        [sys.executable, "-m", "sockwarden.cli", "analyze", "--json", "--rules", RULES, path],
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return [json.loads(line) for line in done.stdout.splitlines()]


def by_case(lines: list[Line], way: Way, cases: list[Case]) -> list[list[Line]]:
    """The lines of each case, whose connection is known by the client's address."""
    *events, counters = lines
    assert counters["type"] == "counters"
    assert counters["lost"] == {}
    opened = [line for line in events if line["type"] == "connection"]
    assert [line["conn"] for line in opened] == list(range(1, len(opened) + 1))
    clients = {line["client"]: line for line in opened}
    assert len(clients) == len(cases)
    of: dict[int, list[Line]] = {line["conn"]: [] for line in opened}
    for line in events:
        of[line["conn"]].append(line)
    found = []
    for at, case in enumerate(cases):
        first, *rest = of[clients[way.client(at)]["conn"]]
        assert first["type"] == "connection"
        assert first["path"] == "/" + case.name.replace(" ", "-")
        assert first["extensions"] == case.extensions
        found.append(
            [{key: value for key, value in line.items() if key != "conn"} for line in rest]
        )
    return found


def same(found: Line, expected: Line) -> bool:
    """Keys in their order too; an offset only where the case gives one."""
    if "offset" not in expected:
        found = {key: value for key, value in found.items() if key != "offset"}
    return list(found.items()) == list(expected.items())


def compare(found: list[list[Line]], cases: list[Case]) -> None:
    wrong = [
        f"{case.name}:\n  found    {lines}\n  expected {case.lines}"
        for case, lines in zip(cases, found, strict=True)
        if len(lines) != len(case.lines) or not all(map(same, lines, case.lines))
    ]
    assert not wrong, f"{len(wrong)} of {len(cases)}:\n" + "\n".join(wrong)


def line_of(event: tuple[Any, ...], direction: str) -> Line:
    """An event of the oracle as a line."""
    if event[0] == "anomaly":
        return {"type": "anomaly", "dir": direction, "kind": event[1], "offset": event[2]}
    if event[0] == "control":
        return {
            "type": "control", "dir": direction, "opcode": event[1], "length": event[3],
            "code": event[4],
        }  # fmt: skip
    _, opcode, payload, length, compressed, fragments, late, *_ = event
    peer = CLIENT if direction == CLIENT.name else SERVER
    assert length == len(payload)
    return peer.message(opcode, payload, fragments, packed=compressed, late=late)


def told_by_oracle(case: Case, direction: int) -> list[Line]:
    takeover = None
    if "permessage-deflate" in (case.extensions or ""):
        takeover = case.takeover[direction]
    events = oracle.decode(("client", "server")[direction], [case.stream[direction]], takeover)
    return [line_of(event, NAMES[direction]) for event in events]


def test_the_names_differ() -> None:
    assert len({case.name for case in CASES}) == len(CASES) > 700


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_lines_as_written_in_the_tables(way: Way, tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_bytes(way.file(CASES))
    compare(by_case(analyze(path), way, CASES), CASES)


def test_offsets_as_the_oracle_tells(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_bytes(WAYS[0].file(CASES))
    for case, lines in zip(CASES, by_case(analyze(path), WAYS[0], CASES), strict=True):
        for direction, name in enumerate(NAMES):
            found = [line for line in lines if line["dir"] == name]
            assert found == told_by_oracle(case, direction), case.name


def test_messages_above_every_limit(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    for way in WAYS[:2]:
        path.write_bytes(way.file(sizes.LONG_CASES))
        compare(by_case(analyze(path), way, sizes.LONG_CASES), sizes.LONG_CASES)
