"""The engine on messages: views, scopes, verifiers, evidence, bounds, threads."""

import base64
import json
import re
import threading

import pytest

from sockwarden.agent.rules.pattern import Pattern


@pytest.fixture
def attack(make):
    return make.rule_set(make.rule())


def test_evidence_is_the_span_that_matched(make):
    rules = make.rule_set(
        make.rule(detection={"a": {"payload|re": "at+ack[0-9]*"}, "condition": "a"})
    )
    [hit] = rules.judge(b"an atttack123 here")
    assert (hit.evidence, hit.view, hit.count) == ("atttack123", "raw", 1)


@pytest.mark.parametrize(
    ("payload", "view"),
    [
        (b"ATTACK", "raw"),
        (b"\x00\xffattack\xff", "raw"),
        (rb"{\"x\":\"\u0061ttack\"}", "json_strings"),
        (json.dumps(json.dumps("\u00e9 \x01attac") + "k").encode(), None),
        (json.dumps({"a": json.dumps('"\u0430')}).encode() + b"attack", "raw"),
        (rb"\\u0061ttack", "json_strings/2"),
        (b"%61ttack", "percent"),
        (b"%2561ttack", "percent/2"),
        (b"%252561ttack", "percent/3"),
        (b"%25252561ttack", "percent/4"),
        (b"%2525252561ttack", None),
        (b"d2Ugd2lsbCBhdHRhY2sgYXQgZGF3bg==", "base64"),
        (base64.b64encode(rb'{"x":"\u0061ttack"}'), "json_strings/3"),
        (base64.b64encode(base64.b64encode(b"we attack at dawn")), "base64/2"),
        (rb"\u002561ttack", "percent"),
    ],
)
def test_views_are_tried_in_order(attack, payload, view):
    assert [hit.view for hit in attack.judge(payload)] == ([view] if view else [])


def test_a_rule_holds_once_a_message(attack):
    assert len(attack.judge(rb"attack \u0061ttack %61ttack attack")) == 1


@pytest.mark.parametrize(("target", "raw", "decoded"), [("raw", 1, 0), ("decoded", 0, 1)])
def test_target_chooses_views(make, target, raw, decoded):
    rules = make.rule_set(make.rule(ws={"target": target}))
    assert len(rules.judge(b"attack")) == raw
    assert len(rules.judge(b"%61ttack")) == decoded


def test_scope_chooses_direction_and_opcode(make):
    rules = make.rule_set(make.rule(ws={"direction": "s2c", "opcode": ["binary", "ping"]}))
    fired = {
        (direction, opcode)
        for direction in (0, 1)
        for opcode in (1, 2, 8, 9, 10)
        if rules.judge(b"attack", direction=direction, opcode=opcode)
    }
    assert fired == {(1, 2), (1, 9)}


def test_control_frames_are_judged_only_where_a_rule_asks(attack):
    assert [opcode for opcode in (1, 2, 8, 9, 10) if attack.judge(b"attack", opcode=opcode)] == [
        1,
        2,
    ]


def test_not_is_judged_on_the_same_view(make):
    rules = make.rule_set(
        make.rule(
            detection={
                "a": {"payload|contains": "attack"},
                "b": {"payload|contains": "drill"},
                "condition": "a and not b",
            }
        )
    )
    assert rules.judge(b"attack")
    assert not rules.judge(b"attack drill")
    assert not rules.judge(b"drill %61ttack")


def test_a_rule_of_absence_is_judged_on_the_raw_payload_only(make):
    rules = make.rule_set(
        make.rule(detection={"a": {"payload|contains": "token"}, "condition": "not a"})
    )
    assert rules.judge(b"")
    assert not rules.judge(b"token")


def test_no_view_takes_from_a_rule_of_absence_what_it_saw(make):
    rules = make.rule_set(
        make.rule(detection={"a": {"payload|contains": "%20"}, "condition": "not a"})
    )
    assert not rules.judge(b"a%20b")


@pytest.mark.parametrize(
    ("field", "facts", "value"),
    [
        ("length", {"length": 7}, 7),
        ("wire_length", {"wire_length": 7}, 7),
        ("fragments", {"fragments": 7}, 7),
        ("inflate_ratio", {"length": 79, "wire_length": 10}, 7),
        ("messages", {"messages": 7}, 7),
        ("connection_bytes", {"connection_bytes": 7}, 7),
        ("age_ms", {"age_ns": 7_999_999}, 7),
        ("length", {"length": 2**63 + 1}, 2**63 + 1),
    ],
)
def test_numbers(make, field, facts, value):
    def fires(modifier, wanted):
        detection = {"a": {f"{field}{modifier}": wanted}, "condition": "a"}
        return bool(make.rule_set(make.rule(detection=detection)).judge(b"x", **facts))

    assert fires("", value)
    assert not fires("", value + 1)
    assert fires("|gte", value)
    assert not fires("|gt", value)
    assert fires("|lte", value)
    assert not fires("|lt", value)
    assert fires("|gt", value - 1)
    assert fires("|lt", value + 1)


@pytest.mark.parametrize("flag", ["compressed", "after_close", "complete", "tls", "loopback"])
def test_flags(make, flag):
    rules = make.rule_set(make.rule(detection={"a": {flag: True}, "condition": "a"}))
    assert rules.judge(b"", **{flag: True})
    assert not rules.judge(b"", **{flag: False})


def test_words_stand_for_directions_and_opcodes(make):
    detection = {"a": {"direction": "s2c", "opcode": "binary"}, "condition": "a"}
    rules = make.rule_set(make.rule(detection=detection))
    assert rules.judge(b"", direction=1, opcode=2)
    assert not rules.judge(b"", direction=0, opcode=2)


def test_verifier_passes_over_what_it_does_not_accept(make):
    detection = {"a": {"payload|re": "card[^0-9]*[0-9]{13}"}, "condition": "a"}
    rules = make.rule_set(make.rule(detection=detection, verify="luhn"))
    assert not rules.judge(b"card 4111111111111112")
    [hit] = rules.judge(b"card 4111111111111112, card 4111-1111 1111 1111 card 4111111111111111")
    assert hit.evidence == "4111111111111111"


def test_a_rule_that_its_verifier_refuses_in_one_view_may_hold_in_the_next(make):
    detection = {"a": {"payload|re": "card[^0-9]*[0-9]"}, "condition": "a"}
    rules = make.rule_set(make.rule(detection=detection, verify="luhn"))
    [hit] = rules.judge(b"card %34111111111111111")
    assert hit.view == "percent"


def test_hits_beyond_the_verdict_are_counted(make):
    rules = make.rule_set(*(make.rule(f"r{number}") for number in range(40)))
    session = rules.session()
    assert len(session.judge(b"attack")) == 32
    assert session.dropped == 8
    assert session.judge(b"peace") == []
    assert session.dropped == 0


def test_large_payloads_are_scanned_whole_and_decoded_to_a_bound(attack):
    filler = b"%20" * (3 << 20)
    assert attack.judge(filler + b"attack")[0].view == "raw"
    assert attack.judge(b"%61ttack" + filler)[0].view == "percent"
    assert attack.judge(filler + b"%61ttack") == []


def test_a_session_forgets_a_message_at_the_next(attack):
    session = attack.session()
    answers = [len(session.judge(text)) for text in [b"attack", b"peace", b"%61ttack", b"x%20"]]
    assert answers == [1, 0, 1, 0]


def test_event_count_is_told_once_a_window_and_with_its_count(make):
    rules = make.rule_set(make.rule("base"), make.correlation("often", "base", {"gte": 5}, "500ms"))
    session = rules.session()
    counts = []
    for number in range(12):
        for hit in session.judge(b"attack", time_ns=number * 10_000_000):
            counts.append((number, hit.rule.name, hit.count, hit.evidence))
    assert counts == [(4, "often", 5, "attack")]
    assert session.judge(b"attack", time_ns=10**9) == []


def test_generate_lets_the_counted_rule_alert_too(make):
    rules = make.rule_set(
        make.rule("base"), make.correlation("often", "base", {"gte": 2}, generate=True)
    )
    session = rules.session()
    assert [make.names(session.judge(b"attack")) for _ in range(2)] == [
        ["base"],
        ["base", "often"],
    ]


def test_value_sum_adds_a_fact(make):
    bulk = make.correlation(
        "bulk", "base", {"field": "length", "gte": 1000}, "10s", kind="value_sum"
    )
    session = make.rule_set(make.rule("base"), bulk).session()
    hits = [session.judge(b"attack", length=400, time_ns=number) for number in range(4)]
    assert [[hit.count for hit in found] for found in hits] == [[], [], [1200], []]


def test_windows_belong_to_one_connection(make):
    rules = make.rule_set(make.rule("base"), make.correlation("often", "base", {"gte": 2}))
    one, other = rules.session(), rules.session()
    assert not one.judge(b"attack")
    assert not other.judge(b"attack")
    assert one.judge(b"attack")


def test_other_rules_begin_with_empty_windows(make):
    def rules(*counts):
        often = [make.correlation(f"often-{n}", "base", {"gte": n}) for n in counts]
        return make.rule_set(make.rule("base"), *often)

    session = rules(2).session()
    assert session.judge(b"attack") == []
    session.use(rules(2, 3, 4))
    answers = [make.names(session.judge(b"attack")) for _ in range(4)]
    assert answers == [[], ["often-2"], ["often-3"], ["often-4"]]
    session.use(rules())
    assert make.names(session.judge(b"attack")) == ["base"]


def test_unknown_facts_are_refused(attack):
    with pytest.raises(TypeError, match="no such facts: colour"):
        attack.judge(b"x", colour=1)


def test_the_digest_tells_rules_apart(make, attack):
    assert attack.digest == make.rule_set(make.rule()).digest
    assert attack.digest != make.rule_set(make.rule(level="low")).digest


def test_threads_share_rules_and_do_not_disturb_each_other(shipped):
    messages = [
        b"' or '1'='1",
        b"hello",
        b'{"a":"\\u003cscript>"}',
        b"..%2f..%2fetc%2fpasswd",
    ] * 500
    expected = shipped.session().count(messages)
    assert expected >= 1500
    counts = []

    def work():
        session = shipped.session()
        counts.append([session.count(messages) for _ in range(5)])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # The flood of messages is told in the first round only: time stands still.
    assert [first for first, *_ in counts] == [expected] * 4
    assert len({tuple(count) for count in counts}) == 1


@pytest.mark.parametrize("regex", ["[a-z]+[0-9]--", "[0-9]+[a-f]*[)][)]", "[a-z]+::"])
def test_a_pattern_that_ends_in_a_pair_of_bytes_takes_long_texts(make, regex):
    rules = make.rule_set(make.rule(detection={"a": {"payload|re": regex}, "condition": "a"}))
    text = b"; a1-- 1a)) b:: " + b"a " * 500
    [hit] = rules.judge(text)
    assert text.index(hit.evidence.encode()) < 16
    assert Pattern(regex).search(b"aa " * 500) is None


@pytest.mark.parametrize("size", range(0, 300, 7))
@pytest.mark.parametrize("regex", ["&#(x0{1,8}3c|0{1,8}60)\\b", "<[a-z!/][^>]*[ /]on[a-z]{3,9}=x"])
def test_a_match_is_found_wherever_in_the_text_it_lies(regex, size):
    for found in (b"&#x0003c;", b"<x onclick=x"):
        text = b"a" * size + found + b'"}}'
        if re.search(regex.encode(), text):
            assert Pattern(regex).search(text) == (size, size + len(found.rstrip(b";")))
