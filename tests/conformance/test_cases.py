"""Hundreds of conversations, right and wrong, through `sockwarden analyze`: each line is right."""

from pathlib import Path

import pytest
import sizes
from case import Case, Line
from lines import NAMES, analyze, connections, of_oracle
from playing import WAYS, Way
from table import CASES


def told(path: Path, way: Way, cases: list[Case]) -> list[list[Line]]:
    path.write_bytes(way.file(cases))
    *lines, counters = analyze(path)
    assert "bytes_not_captured" not in counters["lost"]
    return connections(lines, way, cases)


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


def test_the_names_differ() -> None:
    assert len({case.name for case in CASES}) == len(CASES) > 700


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_lines_as_written_in_the_tables(way: Way, tmp_path: Path) -> None:
    path = tmp_path / "capture"
    compare(told(path, way, CASES), CASES)


def test_offsets_as_the_oracle_tells(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    for case, lines in zip(CASES, told(path, WAYS[0], CASES), strict=True):
        for direction, name in enumerate(NAMES):
            found = [line for line in lines if line["dir"] == name]
            assert found == of_oracle(case, direction, [case.stream[direction]]), case.name


def test_messages_above_every_limit(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    for way in WAYS[:2]:
        compare(told(path, way, sizes.LONG_CASES), sizes.LONG_CASES)
