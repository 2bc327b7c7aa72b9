"""What is said of broken rule files: file, line, key, and what was expected."""

import pytest

from sockwarden.agent.rules.load import load_rules, load_texts
from sockwarden.agent.rules.model import InvalidRulesError, RuleError

GOOD = """\
title: Example
id: 6f2b1c0e-1a9d-4a7f-8f0e-2b1f6e0c9d11
name: example
description: For a test.
level: high
tags:
  - sockwarden.injection
logsource:
  product: websocket
  category: message
detection:
  a:
    payload|contains: attack
  condition: a
tests:
  match:
    - an attack
  no_match:
    - peace
"""

CORRELATION = """\
---
title: Often
id: 6f2b1c0e-1a9d-4a7f-8f0e-2b1f6e0c9d12
name: often
description: For a test.
level: high
tags: [sockwarden.dos]
correlation:
  type: event_count
  rules: [example]
  timespan: 1s
  condition: {gte: 5}
tests:
  match: [{payload: attack, repeat: 5}]
  no_match: [attack]
"""

# What to replace in GOOD, by what, and the one problem then.
BROKEN = [
    ("id: 6f2b1c0e-1a9d-4a7f-8f0e-2b1f6e0c9d11", "id: 12", "2: id: badly formed hexadecimal UUID string"),
    ("name: example\n", "", "1: name: missing"),
    ("name: example", "name: Not Short", "3: name: 'Not Short' is not a short name such as sqli-union-select"),
    ("title: Example", "title: [1]", "1: title: expected a text, found a list"),
    ("level: high", "level: loud", "5: level: expected one of informational, low, medium, high, critical, found 'loud'"),
    ("sockwarden.injection", "cwe.89", "7: tags: expected one of sockwarden.injection, sockwarden.hijack, sockwarden.leak, sockwarden.dos, sockwarden.protocol, sockwarden.posture, or a folder of that name"),
    ("  - sockwarden.injection", "  - sockwarden.injection\n  - oops", "7: tags: 'oops' is not of the form namespace.name, as in cwe.89"),
    ("product: websocket", "product: windows", "9: logsource.product: expected websocket, found 'windows'"),
    ("category: message", "category: process", "10: logsource.category: expected one of handshake, frame, message, found 'process'"),
    ("level: high", "level: high\nlevle: low", "6: levle: unknown key; there are: title, id, name, status, description, references, author, date, tags, logsource, detection, falsepositives, level, ws, verify, slow, tests"),
    ("level: high", "level: high\nlevel: low", "6: level: given twice, first in line 5"),
    ("level: high", "level: high\ndate: 2026-13-40", "6: date: '2026-13-40' cannot be read; put it in quotes"),
    ("level: high", "level: high\nstatus: new", "6: status: expected one of stable, test, experimental, deprecated, unsupported, found 'new'"),
    ("level: high", "level: high\nslow: 3", "6: slow: expected true or false, found a number"),
    ("level: high", "level: high\nws: {direction: up}", "6: ws.direction: expected c2s, s2c or both, found 'up'"),
    ("level: high", "level: high\nws: {opcode: [txt]}", "6: ws.opcode: expected some of text, binary, close, ping, pong, found 'txt'"),
    ("level: high", "level: high\nverify: iban", "6: verify: expected one of luhn, entropy"),
    ("level: high", "level: high\nverify: entropy", "6: verify: entropy needs a number"),
    ("level: high", "level: high\nverify: {luhn: 3}", "6: verify: luhn takes no number"),
    ("payload|contains", "paylaod|contains", "13: detection.a.paylaod|contains: no field 'paylaod' in a message rule; there are: payload, direction, opcode, length, wire_length, fragments, inflate_ratio, compressed, after_close, complete, tls, loopback, messages, connection_bytes, age_ms"),
    ("payload|contains", "payload|has", "13: detection.a.payload|has: unknown modifier 'has'; there are: contains, startswith, endswith, re, gt, gte, lt, lte, exists, cidr, fieldref, all, cased, i, m, s"),
    ("payload|contains", "payload|contains|re", "13: detection.a.payload|contains|re: modifiers contains and re exclude each other"),
    ("payload|contains", "payload|i", "13: detection.a.payload|i: modifiers i, m and s belong behind re"),
    ("payload|contains: attack", "length|contains: 3", "13: detection.a.length|contains: contains needs a text; length is a number"),
    ("payload|contains: attack", "payload|gt: 3", "13: detection.a.payload|gt: gt needs a number; payload is a text"),
    ("payload|contains: attack", "payload|exists: true", "13: detection.a.payload|exists: exists has no meaning for a message: all its fields exist"),
    ("payload|contains: attack", "length|gt: many", "13: detection.a.length|gt: expected a whole number, not negative, found 'many'"),
    ("payload|contains: attack", "length|gt: -1", "13: detection.a.length|gt: expected a whole number, not negative, found -1"),
    ("payload|contains: attack", "direction: up", "13: detection.a.direction: expected one of c2s, s2c, found 'up'"),
    ("payload|contains: attack", "tls: maybe", "13: detection.a.tls: expected true or false, found a text"),
    ("payload|contains: attack", "payload|contains: []", "13: detection.a.payload|contains: expected 1 to 1000 values"),
    ("payload|contains: attack", "payload|contains: ['']", "13: detection.a.payload|contains: expected a text, found an empty one"),
    ("payload|contains: attack", "payload|re: 'a(b'", "13: detection: 'a(b' cannot be used: missing close parenthesis for group started at index 1"),
    ("payload|contains: attack", "payload|re: 'a*'", "13: detection: 'a*' cannot be used: pattern matches empty buffer; use HS_FLAG_ALLOWEMPTY to enable support"),
    ("payload|contains: attack", r"payload|re: '(a)\1'", "13: detection: '(a)\\\\1' cannot be used: back-references are unsupported"),
    ("condition: a", "condition: b", "14: detection.condition: no selection 'b'; there are: a"),
    ("condition: a", "condition: a and", "14: detection.condition: expected a selection, found 'the end'"),
    ("condition: a", "condition: (a or a", "14: detection.condition: expected ')', found 'the end'"),
    ("condition: a", "condition: a a", "14: detection.condition: expected and, or or the end, found 'a'"),
    ("condition: a", "condition: 1 of x*", "14: detection.condition: no selection fits 'x*'"),
    ("condition: a", "condition: [a]", "14: detection.condition: expected a text, found a list"),
    ("  condition: a\n", "", "12: detection.condition: missing"),
    ("  condition: a", "  b: [x]\n  condition: a", "14: detection.b: no part of the condition"),
    ("    - peace", "    - {payload: x, colour: red}", "19: tests.no_match.colour: no such field; there are: payload, direction, opcode, length, wire_length, fragments, inflate_ratio, compressed, after_close, complete, tls, loopback, messages, connection_bytes, age_ms"),
    ("    - peace", "    - {payload: x, length: long}", "19: tests.no_match.length: expected a number or a flag, found 'long'"),
    ("    - peace", "    - {payload: x, repeat: 0}", "19: tests.no_match.repeat: expected 1 to 100000"),
    ("    - peace", "    - {payload_hex: xy}", "19: tests.no_match.payload_hex: non-hexadecimal number found in fromhex() arg at position 0"),
    ("  no_match:\n    - peace\n", "", "16: tests.no_match: expected a list of events"),
    ("description: For a test.", "description: &x For a test.", "4: anchors and aliases are not allowed in rules"),
    ("description: For a test.", "description: !!python/name:os.system x", "4: description: 'x' cannot be read; put it in quotes"),
    ("level: high", "level: 'high", "20: not YAML: found unexpected end of stream"),
]  # fmt: skip

BROKEN_CORRELATIONS = [
    ("rules: [example]", "rules: [nothing]", "21: correlation.rules: no rule of the name 'nothing'"),
    ("rules: [example]", "rules: []", "29: correlation.rules: expected names of rules"),
    ("timespan: 1s", "timespan: soon", "30: correlation.timespan: expected a time such as 500ms, 10s, 5m or 1h, found 'soon'"),
    ("{gte: 5}", "{lt: 5}", "31: correlation.condition: expected gte or gt with a number"),
    ("{gte: 5}", "{gte: five}", "31: correlation.condition.gte: expected a whole number, found 'five'"),
    ("event_count", "temporal", "28: correlation.type: expected event_count or value_sum, found 'temporal'"),
    ("event_count", "value_sum", "31: correlation.condition.field: missing"),
    ("timespan: 1s", "timespan: 1s\n  group-by: user", "31: correlation.group-by: expected connection or source, found user"),
    ("timespan: 1s", "timespan: 1s\n  group-by: source", "21: correlation.rules: example is a message rule: those are grouped by connection only"),
    ("name: often", "name: example", "21: name: 'example' is taken by x.yml:1"),
]  # fmt: skip


def problems_of(text):
    with pytest.raises(InvalidRulesError) as caught:
        load_texts({"x.yml": text.encode()})
    return [str(problem) for problem in caught.value.problems]


def test_the_good_ones_are_good():
    names = [rule.name for rule in load_texts({"x.yml": (GOOD + CORRELATION).encode()}).rules]
    assert names == ["example", "often"]


@pytest.mark.parametrize(("old", "new", "expected"), BROKEN, ids=[row[1] for row in BROKEN])
def test_broken_rule(old, new, expected):
    assert old in GOOD
    problems = problems_of(GOOD.replace(old, new, 1))
    assert f"x.yml:{expected}" in problems
    assert len(problems) <= 2


@pytest.mark.parametrize(
    ("old", "new", "expected"), BROKEN_CORRELATIONS, ids=[row[1] for row in BROKEN_CORRELATIONS]
)
def test_broken_correlation(old, new, expected):
    assert old in CORRELATION
    assert f"x.yml:{expected}" in problems_of(GOOD + CORRELATION.replace(old, new, 1))


def test_without_tests_a_rule_is_refused_in_strict_mode_only():
    text = GOOD[: GOOD.index("tests:")].encode()
    assert len(load_texts({"x.yml": text}, strict=False).rules) == 1
    expected = "x.yml:1: tests: missing: a rule shows what it matches and what it does not"
    assert problems_of(text.decode()) == [expected]


def test_problems_of_several_files_come_together():
    texts = {
        "b.yml": GOOD.replace("level: high", "level: loud").replace("name: example", "name: B"),
        "a.yml": GOOD.replace("condition: a", "condition: z"),
    }
    with pytest.raises(InvalidRulesError) as caught:
        load_texts({name: text.encode() for name, text in texts.items()})
    assert [(p.path, p.line) for p in caught.value.problems] == [
        ("a.yml", 14),
        ("b.yml", 3),
        ("b.yml", 5),
    ]
    assert str(caught.value).count("\n") == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"a: " + b"[" * 100_000, "x.yml: 100003 bytes long; a rule file has at most 65536"),
        (b"a: " + b"[" * 40, "x.yml:1: nested more than 24 deep"),
        (b"title: \xff\n", "x.yml:1: not UTF-8"),
        (b"- a\n- b\n", "x.yml:1: expected a map, found a list"),
        (b"\0", "x.yml: not YAML: "),
    ],
)
def test_files_beyond_bounds(text, expected):
    with pytest.raises(InvalidRulesError) as caught:
        load_texts({"x.yml": text})
    assert str(caught.value).startswith(expected)


def test_paths_are_files_and_folders(tmp_path):
    folder = tmp_path / "injection"
    folder.mkdir()
    (folder / "example.yml").write_text(GOOD.replace("  - sockwarden.injection", "  - cwe.89"))
    (folder / "notes.txt").write_text("not a rule")
    assert [rule.name for rule in load_rules([tmp_path]).rules] == ["example"]
    assert [rule.name for rule in load_rules([folder / "example.yml"]).rules] == ["example"]


def test_missing_and_empty_paths_are_named(tmp_path):
    with pytest.raises(RuleError, match="nowhere: no such file or folder"):
        load_rules([tmp_path / "nowhere"])
    with pytest.raises(RuleError, match="no rule files"):
        load_rules([tmp_path])
