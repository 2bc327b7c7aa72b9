"""What captures bring late, twice, without a beginning or not at all: the lines stay right.

The whole capture is judged in this process, by the code that `sockwarden analyze` runs.
"""

import io
import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import mangling
import pytest
from captures import capture
from case import Case, Line
from lines import NAMES, RULES, connections, of_oracle
from mangling import Mangle, Packets, both, late
from playing import Way
from table import CASES

from sockwarden.agent.pipeline import Pipeline
from sockwarden.agent.report import JsonLines
from sockwarden.agent.rules.engine import RuleSet
from sockwarden.agent.rules.load import load_rules
from sockwarden.agent.sources import read
from sockwarden.agent.sources.batch import RecordBatch

PLAYED = [case for case in CASES if case.size < 20_000 and not any(case.early)]
WITH_RESETS = [replace(case, end="reset") for case in PLAYED]


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    return load_rules([Path(RULES)], strict=False)


def judge(rules: RuleSet, content: bytes) -> tuple[list[Line], dict[str, int]]:
    stream = io.BytesIO()
    sink = JsonLines(stream)
    batch = RecordBatch(Pipeline(rules, sink, trace=True))
    read(io.BytesIO(content), batch)
    sink.flush()
    return [json.loads(line) for line in stream.getvalue().splitlines()], batch.lost


def played(cases: list[Case], mangle: Mangle, seed: int = 1) -> tuple[Way, list[Packets]]:
    rng = random.Random(seed)
    way = Way("", lambda rng: rng.choice((1, 3, 11, 60, 300, 1448)), seed=seed)
    return way, [mangle(rng, way.play(at, case)) for at, case in enumerate(cases)]


def check(lines: list[Line], way: Way, cases: list[Case]) -> None:
    wrong = []
    for case, found in zip(cases, connections(lines, way, cases), strict=True):
        for direction, name in enumerate(NAMES):
            told = [line for line in found if line["dir"] == name]
            expected = of_oracle(case, direction, [case.stream[direction]])
            if told != expected:
                wrong.append(f"{case.name} {name}:\n  found    {told}\n  expected {expected}")
    assert not wrong, f"{len(wrong)}:\n" + "\n".join(wrong[:5])


@pytest.mark.parametrize(
    ("mangle", "cases"),
    [
        pytest.param(late(8), PLAYED, id="late"),
        pytest.param(late(60), PLAYED, id="very late"),
        pytest.param(both(mangling.without_syn, late(8)), PLAYED, id="late without SYN"),
        pytest.param(late(8), WITH_RESETS, id="late with resets"),
        pytest.param(both(mangling.seconds_apart, late(3)), PLAYED, id="late, seconds apart"),
        pytest.param(both(mangling.repeated, late(6)), PLAYED, id="repeated and late"),
        pytest.param(mangling.lied_about, PLAYED, id="repeated with other octets"),
        pytest.param(mangling.data_only, PLAYED, id="data only"),
        pytest.param(
            both(mangling.data_only, mangling.without_syn), PLAYED, id="data only without SYN"
        ),
    ],
)
def test_disorder_changes_nothing(rules: RuleSet, mangle: Mangle, cases: list[Case]) -> None:
    way, groups = played(cases, mangle)
    lines, lost = judge(rules, capture(packet for group in groups for packet in group))
    check(lines, way, cases)
    assert lost == {}


def test_packets_of_all_connections_in_any_order(rules: RuleSet) -> None:
    way, groups = played(PLAYED, lambda _, packets: packets)
    packets = [packet for group in groups for packet in group]
    random.Random(4).shuffle(packets)
    lines, lost = judge(rules, capture(packets))
    check(lines, way, PLAYED)
    assert lost == {}


def test_connections_that_use_the_same_ports_one_after_the_other(rules: RuleSet) -> None:
    rng = random.Random(3)
    packets: Packets = []
    way = Way("", lambda rng: rng.choice((3, 60, 1448)))
    for case in PLAYED:
        moved = [rng.randrange(2**32), rng.randrange(2**32)]
        group = way.play(0, case)
        client = group[0].source
        packets += [
            replace(
                packet,
                sequence=packet.sequence + moved[packet.source != client],
                acknowledgement=packet.acknowledgement
                and (packet.acknowledgement + moved[packet.source == client]) % 2**32,
            )
            for packet in group
        ]
    lines, lost = judge(rules, capture(packets))
    opened = [line["path"] for line in lines if line["type"] == "connection"]
    assert opened == ["/" + case.name.replace(" ", "-") for case in PLAYED]
    told = Counter(line["conn"] for line in lines)
    for number, case in enumerate(PLAYED, 1):
        expected = sum(len(of_oracle(case, at, [case.stream[at]])) for at in range(2))
        assert told[number] == 1 + expected, case.name
    assert lost == {}


def messages(lines: list[Line], name: str) -> list[tuple[object, ...]]:
    return [
        (line["opcode"], line["length"], line["sha256"], line["fragments"])
        for line in lines
        if line["type"] == "message" and line["dir"] == name and line["sha256"]
    ]


@pytest.mark.parametrize(
    ("rate", "mangle", "least"),
    [
        pytest.param(0.01, late(0), 0.9, id="1 %"),
        pytest.param(0.1, late(5), 0.5, id="10 % and late"),
        pytest.param(0.1, both(mangling.without_syn, late(5)), 0.4, id="10 % without SYN"),
        pytest.param(0.3, late(20), 0.1, id="30 % and very late"),
    ],
)
def test_what_is_lost_makes_no_wrong_message(
    rules: RuleSet, rate: float, mangle: Mangle, least: float
) -> None:
    way, groups = played(PLAYED, both(mangling.lost(rate), mangle), seed=2)
    lines, _ = judge(rules, capture(packet for group in groups for packet in group))
    numbers = {line["client"]: line["conn"] for line in lines if line["type"] == "connection"}
    right = total = 0
    for at, case in enumerate(PLAYED):
        of = [line for line in lines if line["conn"] == numbers.get(way.client(at))]
        for direction, name in enumerate(NAMES):
            sent = messages(of_oracle(case, direction, [case.stream[direction]]), name)
            told = messages(of, name)
            left = iter(sent)
            assert all(message in left for message in told), (case.name, name, told, sent)
            right += len(told)
            total += len(sent)
    assert right >= least * total, (right, total)
