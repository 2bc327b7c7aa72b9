"""From records to reports: the main way through pipeline.pyx, with the real parser and rules."""

import hashlib

import msgspec
import pytest
from probe_records import CLIENT, EXIT, MIDSTREAM, OPENSSL, Conversation, record
from websocket_bytes import BINARY, CLOSE, PING, TEXT, frame, key_of, request, response

from sockwarden.agent.alert import Alert, Anomaly, Connection, Control, Message, Process
from sockwarden.agent.pipeline import Pipeline
from sockwarden.agent.rules.engine import RuleSet
from sockwarden.agent.rules.load import load_rules

MASK = b"\x01\x02\x03\x04"
INJECTION = b'{"q":"x\' UNION SELECT username, password FROM users -- "}'


class Sink:
    def __init__(self):
        self.reports = []

    def _take(self, report):
        self.reports.append(report)

    connection = message = control = anomaly = alert = _take

    def of(self, kind):
        return [report for report in self.reports if isinstance(report, kind)]


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    return load_rules(None)


@pytest.fixture
def sink():
    return Sink()


def pipeline(rules, sink, *, trace=True, **options):
    return Pipeline(rules, sink, trace=trace, redaction_key=b"k" * 32, **options)


def greet(conversation, path="/chat", key=None, **headers):
    key = key or key_of(conversation.number)
    return (
        conversation.open()
        + conversation.c2s(request(path, key=key, **headers))
        + conversation.s2c(response(key))
    )


def test_one_message_from_record_to_report(rules, sink):
    talk, way = Conversation(1, process=4711), None
    way = pipeline(rules, sink, process=lambda pid, start: Process(pid=pid, exe="/usr/bin/node"))
    way.feed(greet(talk, Origin="https://shop.example"))
    way.feed(talk.c2s(frame(TEXT, b"hello", mask=MASK)))
    way.deliver()
    assert sink.reports == [
        Connection(
            conn=1,
            client="10.9.0.1:20000",
            server="10.9.0.2:8080",
            role="server",
            path="/chat",
            origin="https://shop.example",
            subprotocol=None,
            extensions=None,
            tls=None,
            pid=4711,
            exe="/usr/bin/node",
        ),
        Message(
            conn=1,
            dir="c2s",
            opcode=TEXT,
            length=5,
            sha256=hashlib.sha256(b"hello").hexdigest(),
            compressed=False,
            fragments=1,
        ),
    ]


@pytest.mark.parametrize("wanted", [True, False])
def test_a_connection_that_was_open_before(rules, sink, wanted):
    talk, way = Conversation(1), pipeline(rules, sink, wanted=lambda _: wanted)
    way.feed(talk.open(MIDSTREAM))
    way.feed(talk.c2s(b"the end of a frame"))
    for at in range(30):
        key = hashlib.sha256(bytes([at])).digest()[:4]
        way.feed(talk.c2s(frame(TEXT, b"a message, number %d" % at, mask=key)))
    way.feed(talk.c2s(frame(TEXT, INJECTION, mask=MASK)))
    way.deliver()
    assert len(sink.of(Connection)) == wanted
    assert len(sink.of(Message)) >= 20 * wanted
    assert len(sink.of(Alert)) == wanted
    assert [alert.path for alert in sink.of(Alert)] == [None] * wanted


def test_a_request_that_the_probe_did_not_recognise_hides_no_message(rules, sink):
    talk, way = Conversation(1), pipeline(rules, sink)
    way.feed(talk.open() + talk.s2c(response(key_of(1))))
    way.feed(talk.c2s(frame(TEXT, INJECTION, mask=MASK)))
    way.deliver()
    assert [message.length for message in sink.of(Message)] == [len(INJECTION)]
    assert sink.of(Alert)


def test_the_json_of_a_message_has_the_documented_keys(rules, sink):
    talk = Conversation(1)
    way = pipeline(rules, sink)
    way.feed(greet(talk) + talk.s2c(frame(BINARY, b"\0\1")))
    way.deliver()
    assert msgspec.json.encode(sink.of(Message)[0]) == (
        b'{"type":"message","conn":1,"dir":"s2c","opcode":2,"length":2,"sha256":"'
        + hashlib.sha256(b"\0\1").hexdigest().encode()
        + b'","compressed":false,"fragments":1}'
    )


def test_an_attack_becomes_one_alert_of_its_rule(rules, sink):
    talk = Conversation(1, source=OPENSSL)
    way = pipeline(rules, sink, trace=False)
    way.feed(greet(talk) + talk.c2s(frame(TEXT, b'{"q":"hello"}', mask=MASK)))
    way.feed(talk.c2s(frame(TEXT, INJECTION, mask=MASK)))
    way.deliver()
    alerts = sink.of(Alert)
    assert sink.reports == alerts  # nothing else without trace
    assert len(alerts) == 1
    assert (alerts[0].category, alerts[0].dir, alerts[0].opcode) == ("injection", "c2s", TEXT)
    assert (alerts[0].client, alerts[0].tls, alerts[0].path) == (
        "10.9.0.1:20000",
        "openssl",
        "/chat",
    )
    assert "UNION SELECT" in alerts[0].evidence


def test_a_message_in_pieces_and_a_control_frame_between(rules, sink):
    talk = Conversation(1)
    way = pipeline(rules, sink)
    way.feed(greet(talk))
    wire = (
        frame(TEXT, b"ab", mask=MASK, fin=False)
        + frame(PING, b"x", mask=MASK)
        + frame(0, b"c", mask=MASK)
        + frame(CLOSE, b"\x03\xe8", mask=MASK)
    )
    for byte in wire:
        way.feed(talk.c2s(bytes([byte])))
    way.deliver()
    kinds = [(type(r).__name__, r.opcode, r.length) for r in sink.reports[1:]]
    assert kinds == [("Control", PING, 1), ("Message", TEXT, 3), ("Control", CLOSE, 2)]
    assert sink.of(Message)[0].fragments == 2
    assert sink.of(Control)[1].code == 1000
    assert sink.of(Control)[0].code is None


def test_an_anomaly_is_reported_with_its_octet(rules, sink):
    talk = Conversation(1)
    way = pipeline(rules, sink)
    way.feed(greet(talk) + talk.c2s(frame(TEXT, b"hi")))
    way.deliver()
    assert sink.of(Anomaly) == [Anomaly(conn=1, dir="c2s", kind="unmasked_client", offset=1)]


def test_a_continuation_of_nothing_is_judged_but_no_message(rules, sink):
    talk = Conversation(1)
    way = pipeline(rules, sink)
    way.feed(greet(talk) + talk.c2s(frame(0, INJECTION, mask=MASK)))
    way.deliver()
    assert sink.of(Message) == []
    assert [report.kind for report in sink.of(Anomaly)] == ["unexpected_continuation"]
    assert "injection" in {report.category for report in sink.of(Alert)}
    assert way.counters["messages"] == 0


def test_two_ends_on_one_host_are_one_connection(rules, sink):
    server = Conversation(1, local="127.0.0.1:80", remote="127.0.0.1:4000")
    client = Conversation(2, local="127.0.0.1:4000", remote="127.0.0.1:80", role=CLIENT)
    key, attack = key_of(1), frame(TEXT, INJECTION, mask=MASK)
    way = pipeline(rules, sink)
    way.feed(client.open() + client.c2s(request(key=key)))
    way.feed(server.open() + server.c2s(request(key=key)))
    # the client's end may be told of the 101 before the server's
    way.feed(client.s2c(response(key)) + client.c2s(attack))
    way.feed(server.s2c(response(key)) + server.c2s(attack))
    way.deliver()
    assert [type(report) for report in sink.reports] == [Connection, Message, Alert]
    assert way.counters["duplicate_end"] == 1


def test_legs_of_a_proxy_are_two_connections_and_both_proxied(rules, sink):
    front = Conversation(1, local="10.0.0.1:443", remote="192.0.2.7:4000", source=OPENSSL)
    back = Conversation(2, local="10.0.0.1:5000", remote="10.0.0.2:80", role=CLIENT)
    key, attack = key_of(1), frame(TEXT, INJECTION, mask=MASK)
    way = pipeline(rules, sink, trace=False)
    way.feed(front.open() + front.c2s(request(key=key)))
    way.feed(back.open() + back.c2s(request(key=key)) + back.s2c(response(key)))
    way.feed(front.s2c(response(key)))
    way.feed(front.c2s(attack) + back.c2s(attack))
    way.deliver()
    assert [(alert.tls, alert.proxied) for alert in sink.of(Alert) if alert.dir] == [
        ("openssl", True),
        (None, True),
    ]


def test_a_flood_of_hits_is_bounded_and_counted(rules, sink):
    talk = Conversation(1)
    way = pipeline(rules, sink, trace=False)
    way.feed(greet(talk))
    attack = frame(TEXT, INJECTION, mask=MASK)
    for _ in range(20):
        talk.time_ns -= 1_000_000  # all within one second
        way.feed(talk.c2s(attack * 100))
    way.deliver()
    injections = [a for a in sink.of(Alert) if a.category == "injection"]
    assert 0 < len(injections) <= 100
    assert way.counters["hits_suppressed"] >= 1900
    assert way.counters["messages"] == 2000


def test_a_full_table_makes_room_and_says_so(rules, sink):
    way = pipeline(rules, sink, connections=8)
    for number in range(1, 21):
        talk = Conversation(
            number, remote=f"10.9.0.1:{20000 + number}", time_ns=number * 1_000_000_000
        )
        way.feed(greet(talk) + talk.c2s(frame(TEXT, b"hello", mask=MASK)))
    way.deliver()
    assert len(sink.of(Message)) == 20
    assert way.counters["connections_open"] == 8
    assert way.counters["connections_evicted"] == 12


def test_connections_come_and_go_without_a_trace(rules, sink):
    way = pipeline(rules, sink, trace=False, connections=64)
    for number in range(1, 500):
        talk = Conversation(number)
        way.feed(greet(talk) + talk.c2s(frame(TEXT, b"hello", mask=MASK)) + talk.close())
    way.deliver()
    assert way.counters["connections_open"] == 0
    assert way.counters["messages"] == 499


def test_records_of_a_connection_nobody_opened_are_counted(rules, sink):
    way = pipeline(rules, sink)
    way.feed(record(77, 2, b"data"))
    assert way.counters["records_of_unknown_connections"] == 1


def test_a_cut_record_is_refused_with_its_place(rules, sink):
    way = pipeline(rules, sink)
    with pytest.raises(ValueError, match="the record at byte 0 is cut"):
        way.feed(record(1, 2, b"data")[:-8])


def test_an_error_of_the_sink_comes_out_of_deliver(rules):
    class Broken(Sink):
        def message(self, report):
            raise BrokenPipeError("nobody reads")

    talk = Conversation(1)
    way = pipeline(rules, Broken())
    way.feed(greet(talk) + talk.c2s(frame(TEXT, b"hello", mask=MASK)))
    with pytest.raises(BrokenPipeError, match="nobody reads"):
        way.deliver()


def test_new_rules_judge_from_the_next_message_on(rules, sink):
    talk = Conversation(1)
    way = pipeline(rules, sink, trace=False)
    way.feed(greet(talk))
    way.replace_rules(load_rules(None))
    way.feed(talk.c2s(frame(TEXT, INJECTION, mask=MASK)))
    way.deliver()
    assert [alert.category for alert in sink.of(Alert)] == ["injection"]


def test_connections_end_with_their_process(rules, sink):
    talk, way = Conversation(1, process=7), pipeline(rules, sink)
    way.feed(greet(talk) + talk.c2s(frame(TEXT, b"hello", mask=MASK)[:-1]))
    way.feed(record(0, EXIT, time_ns=talk.time_ns, process=7))
    way.expire(talk.time_ns)
    assert way.counters["connections_open"] == 1
    way.expire(talk.time_ns + 1_000_000_000)
    assert way.counters["connections_open"] == 0
    way.deliver()
    assert [anomaly.kind for anomaly in sink.of(Anomaly)] == ["truncated"]


def test_a_connection_that_another_process_goes_on_with_outlives_its_first(rules, sink):
    talk, way = Conversation(1, process=7), pipeline(rules, sink)
    way.feed(greet(talk) + record(0, EXIT, time_ns=talk.time_ns, process=7))
    talk.process = 8
    way.feed(talk.c2s(frame(TEXT, b"hello", mask=MASK)))
    way.expire(talk.time_ns + 5_000_000_000)
    assert way.counters["connections_open"] == 1
    way.feed(record(0, EXIT, time_ns=talk.time_ns, process=8))
    way.expire(talk.time_ns + 5_000_000_000)
    assert way.counters["connections_open"] == 0
    way.deliver()
    assert [message.length for message in sink.of(Message)] == [5]


def test_two_requests_at_once_of_which_the_first_is_refused(rules, sink):
    way, talk = pipeline(rules, sink), Conversation(1)
    other = Conversation(2, local="10.9.0.1:20000", remote="10.9.0.2:8080", role=CLIENT)
    key = key_of(2)
    refusal = b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 3\r\n\r\nno\n"
    asked = request("/old", key=key_of(1), host="a.example") + request("/new", key=key)
    answered = refusal + response(key) + frame(TEXT, b"welcome")
    way.feed(talk.open() + talk.c2s(asked + frame(TEXT, b"hello", mask=MASK)) + talk.s2c(answered))
    way.deliver()
    assert [report.path for report in sink.of(Connection)][-1:] == ["/new"]
    assert [(report.dir, report.length) for report in sink.of(Message)] == [("c2s", 5), ("s2c", 7)]
    # The other end is known by the key of the request that was agreed to.
    way.feed(other.open() + other.c2s(request("/new", key=key)) + other.s2c(response(key)))
    way.deliver()
    assert way.counters["duplicate_end"] == 1
    assert len(sink.of(Connection)) == 1


def test_what_looked_like_frames_and_is_none_is_given_up(rules, sink):
    given_up = []
    way = pipeline(rules, sink, unwanted=given_up.append)
    talk = Conversation(1)
    way.feed(talk.open(MIDSTREAM))
    for at in range(40):
        noise = b"".join(hashlib.sha512(b"%d %d" % (at, n)).digest() for n in range(128))
        way.feed(talk.c2s(noise))
    assert given_up == [1]
    assert way.counters["midstream_given_up"] == 1
    way.deliver()
    assert not sink.of(Message)
