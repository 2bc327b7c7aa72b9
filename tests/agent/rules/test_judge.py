"""Handshakes and anomalies, judged by their fields."""

import pytest

from sockwarden.agent.rules.detectors.window import Windows


@pytest.fixture
def fires(make):
    def check(test, fields):
        document = make.rule(detection={"a": test, "condition": "a"}, category="handshake")
        return bool(make.rule_set(document).judge_handshake(fields))

    return check


@pytest.mark.parametrize(
    ("test", "fields", "expected"),
    [
        ({"origin": "https://a.example"}, {"origin": "HTTPS://A.example"}, True),
        ({"origin|endswith": ".example"}, {"origin": "https://a.example"}, True),
        ({"origin": "x"}, {}, False),
        ({"origin": "x"}, {"origin": None}, False),
        ({"origin|exists": True}, {"origin": ""}, True),
        ({"origin|exists": False}, {"origin": None}, True),
        ({"origin": None}, {}, True),
        ({"origin": "*"}, {"origin": "any"}, True),
        ({"origin": "null"}, {"origin": "null"}, True),
        ({"status": 101}, {"status": 101}, True),
        ({"status": [400, 426]}, {"status": 426}, True),
        ({"status|gte": 400}, {"status": 399}, False),
        ({"status|gte": 400}, {}, False),
        ({"upgraded": True}, {"upgraded": True}, True),
        ({"upgraded": False}, {"upgraded": True}, False),
        ({"subprotocols": "chat"}, {"subprotocols": ["x", "chat"]}, True),
        ({"subprotocols": "chat"}, {"subprotocols": ["chats"]}, False),
        ({"client|cidr": "10.0.0.0/8"}, {"client": "10.1.2.3:80"}, True),
        ({"client|cidr": "10.0.0.0/8"}, {"client": "11.1.2.3:80"}, False),
        ({"client|cidr": "2001:db8::/32"}, {"client": "[2001:db8::1]:443"}, True),
        ({"client|cidr": "10.0.0.0/8"}, {"client": "[2001:db8::1]:443"}, False),
        ({"client|cidr": "10.0.0.0/8"}, {"client": "nonsense"}, False),
        ({"host|fieldref": "origin_host"}, {"host": "A", "origin_host": "a"}, True),
        ({"host|fieldref": "origin_host"}, {"host": "none"}, False),
        ({"path|re": "^/a+$"}, {"path": "/aaa"}, True),
        ({"target|contains": "\u00e9"}, {"target": "/caf\u00c3\u00a9"}, True),
    ],
)
def test_handshake_fields(fires, test, fields, expected):
    assert fires(test, fields) is expected


def test_evidence_names_fields_and_what_was_found(make):
    detection = {
        "a": {"origin|contains": "evil", "status": 101, "upgraded": True},
        "b": {"path|contains": "admin"},
        "condition": "a and not b",
    }
    rules = make.rule_set(make.rule(detection=detection, category="handshake"))
    fields = {"origin": "https://evil.example", "status": 101, "upgraded": True, "path": "/"}
    [hit] = rules.judge_handshake(fields)
    assert hit.evidence == "origin=evil status=101 upgraded=True"


def test_text_that_is_not_latin_1_is_searched_too(fires):
    assert fires({"path|contains": "admin"}, {"path": "/\u20ac/admin"})
    assert fires({"path|contains": "\u20ac"}, {"path": "/\u20ac/admin"})
    assert fires({"path|contains": "admin"}, {"path": "/\udcff/admin"})


def test_an_anomaly_is_no_handshake(make):
    detection = {"a": {"anomaly": ["rsv_bits", "gap"], "direction": "c2s"}, "condition": "a"}
    rules = make.rule_set(make.rule(detection=detection, category="frame"))
    assert make.names(rules.judge_anomaly("rsv_bits", "c2s", {"offset": 3})) == ["example"]
    assert rules.judge_anomaly("rsv_bits", "s2c", {}) == []
    assert rules.judge_anomaly("truncated", "c2s", {}) == []
    assert rules.judge_handshake({"path": "/"}) == []


def probing(make, group):
    base = make.rule("refused", {"a": {"status|gte": 400}, "condition": "a"}, category="handshake")
    return make.rule_set(base, make.correlation("probing", "refused", {"gte": 3}, "1m", group))


def test_correlations_group_by_source_whatever_the_port(make):
    rules, windows = probing(make, "source"), Windows()

    def refused(client, second):
        fields = {"status": 403, "client": client}
        return make.names(rules.judge_handshake(fields, windows, time_ns=second * 10**9))

    assert refused("192.0.2.1:1000", 1) == []
    assert refused("192.0.2.1:1001", 2) == []
    assert refused("192.0.2.2:1002", 3) == []
    assert refused("192.0.2.1:1003", 4) == ["probing"]
    assert refused("192.0.2.1:1004", 5) == []


def test_correlations_group_by_connection(make):
    rules, windows = probing(make, "connection"), Windows()

    def refused(connection):
        fields = {"status": 403, "connection": connection}
        return make.names(rules.judge_handshake(fields, windows))

    assert [refused(number) for number in (1, 2, 1, 2, 1)] == [[], [], [], [], ["probing"]]


def test_what_cannot_be_grouped_is_not_counted(make):
    rules, windows = probing(make, "source"), Windows()
    for _ in range(5):
        assert rules.judge_handshake({"status": 403}, windows) == []
    assert len(windows) == 0
