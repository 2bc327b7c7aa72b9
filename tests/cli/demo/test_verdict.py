"""The demo passes only if each attack raised exactly its alert and nothing else did."""

import pytest

from sockwarden.cli.demo.audience import Arrival, Performance, judge
from sockwarden.proto.v1.alert_pb2 import Alert, Connection, Rule
from sockwarden.proto.v1.query_pb2 import StoredAlert

ATTACK = Performance("ws", "injection", "sqli", "/run/ws/injection", begun_ns=1_000)
ORDINARY = Performance("ws", "ordinary", None, "/run/ws/ordinary", begun_ns=2_000)


def arrival(path: str, rule: str, at_ns: int = 5_000) -> Arrival:
    alert = Alert(rule=Rule(id=rule), connection=Connection(path=path))
    return Arrival(StoredAlert(alert=alert), at_ns)


def test_one_alert_for_the_attack_is_good() -> None:
    verdict = judge([ATTACK, ORDINARY], [arrival(ATTACK.path, "sqli")])
    assert verdict.good
    assert [one.latency_ns for one in verdict.outcomes] == [4_000]


@pytest.mark.parametrize(
    ("arrivals", "unexpected"),
    [
        ([], 0),
        ([arrival(ATTACK.path, "xss")], 1),
        ([arrival(ATTACK.path, "sqli"), arrival(ATTACK.path, "sqli")], 1),
        ([arrival(ATTACK.path, "sqli"), arrival(ATTACK.path, "xss")], 1),
        ([arrival(ATTACK.path, "sqli"), arrival(ORDINARY.path, "sqli")], 1),
    ],
    ids=["missing", "another rule", "twice", "one too many", "ordinary traffic"],
)
def test_anything_else_is_not(arrivals: list[Arrival], unexpected: int) -> None:
    verdict = judge([ATTACK, ORDINARY], arrivals)
    assert not verdict.good
    assert len(verdict.unexpected) == unexpected


def test_traffic_that_is_not_the_demos_is_not_judged() -> None:
    others = [arrival("/chat", "sqli"), arrival("/chat", "sqli")]
    assert judge([ATTACK, ORDINARY], [*others, arrival(ATTACK.path, "sqli")]).good
