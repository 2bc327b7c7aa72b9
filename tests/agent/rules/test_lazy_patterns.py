"""Rules that were loaded quickly, for `analyze`, find what the others find."""

from probe_records import Conversation
from websocket_bytes import TEXT, frame, key_of, request, response

from sockwarden.agent.pipeline import Pipeline
from sockwarden.agent.rules.load import load_rules

PAYLOADS = (
    b"hello",
    b'{"q":"x\' UNION SELECT username, password FROM users -- "}',
    b"<script>alert(1)</script>; cat /etc/passwd; ../../etc/shadow ${jndi:ldap://x/a} "
    b"' OR 1=1 -- {{7*7}} <iframe src=x> $(id) | wget http://x/y; __proto__ $where",
    b'{"password":"hunter2hunter2","card":"4111111111111111"}',
)


class Sink:
    def __init__(self):
        self.alerts = []

    def alert(self, report):
        self.alerts.append((report.rule, report.evidence, report.dir))


def found(rules):
    sink = Sink()
    way = Pipeline(rules, sink, trace=False, redaction_key=b"k" * 32)
    talk = Conversation(1)
    key = key_of(1)
    way.feed(talk.open() + talk.c2s(request(key=key)) + talk.s2c(response(key)))
    for payload in PAYLOADS:
        way.feed(talk.c2s(frame(TEXT, payload, mask=b"abcd")) + talk.s2c(frame(TEXT, payload)))
    way.deliver()
    return sink.alerts


def test_the_same_alerts_with_the_same_evidence():
    alerts = found(load_rules(None, eager=False))
    assert alerts == found(load_rules(None))
    assert len({rule for rule, _, _ in alerts}) > 3
