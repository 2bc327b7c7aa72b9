"""Conditions and selections against a plain-Python reading of them."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sockwarden.agent.rules.condition import parse_condition
from sockwarden.agent.rules.model import And, Exists, Not, Or
from sockwarden.agent.rules.pattern import CASELESS, DOTALL, Pattern
from sockwarden.agent.rules.selection import wildcards_to_regex

SELECTIONS = {name: Exists(name) for name in ("a", "b", "sel_1", "sel_2", "_hidden")}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", Exists("a")),
        ("not a", Not(Exists("a"))),
        ("a or b and sel_1", Or((Exists("a"), And((Exists("b"), Exists("sel_1")))))),
        ("not a and b", And((Not(Exists("a")), Exists("b")))),
        ("(a or b) and sel_1", And((Or((Exists("a"), Exists("b"))), Exists("sel_1")))),
        ("1 of sel_*", Or((Exists("sel_1"), Exists("sel_2")))),
        ("all of sel_*", And((Exists("sel_1"), Exists("sel_2")))),
        ("ANY of them", Or(tuple(Exists(n) for n in ("a", "b", "sel_1", "sel_2")))),
        ("NOT(a)AND b", And((Not(Exists("a")), Exists("b")))),
    ],
)
def test_grammar(text, expected):
    assert parse_condition(text, SELECTIONS)[0] == expected


def test_depth_is_bounded():
    with pytest.raises(ValueError, match="nested more than"):
        parse_condition("(" * 100 + "a" + ")" * 100, SELECTIONS)
    with pytest.raises(ValueError, match="nested more than"):
        parse_condition("not " * 100 + "a", SELECTIONS)


# A condition as (text for the rule, text for Python).
TERMS = st.sampled_from(["a", "b", "c", "n", "t"])
CONDITIONS = st.recursive(
    TERMS,
    lambda inner: st.one_of(
        inner.map(lambda c: f"not ({c})"),
        st.lists(inner, min_size=2, max_size=4).map(lambda cs: "(" + " and ".join(cs) + ")"),
        st.lists(inner, min_size=2, max_size=4).map(lambda cs: "(" + " or ".join(cs) + ")"),
    ),
    max_leaves=12,
).filter(lambda text: text.count("(") < 14)


@settings(deadline=None, max_examples=150)
@given(
    condition=CONDITIONS,
    payloads=st.lists(st.sampled_from(["", "apple", "bee", "cat", "bee apple", "cat bee apple"])),
    tls=st.booleans(),
    length=st.integers(0, 20),
)
def test_programs_agree_with_python(make, condition, payloads, tls, length):
    used = set(re.findall(r"\b[abcnt]\b", condition))
    selections = {
        "a": {"payload|contains": "apple"},
        "b": ["bee"],
        "c": {"payload|endswith": "apple", "payload|startswith": "cat"},
        "n": {"length|gte": 10},
        "t": {"tls": True},
    }
    detection = {name: selections[name] for name in used} | {"condition": condition}
    rules = make.rule_set(make.rule(detection=detection))
    for payload in payloads:
        truth = {
            "a": "apple" in payload,
            "b": "bee" in payload,
            "c": payload.startswith("cat") and payload.endswith("apple"),
            "n": length >= 10,
            "t": tls,
        }
        expected = eval(condition, {}, truth)
        hits = rules.judge(payload.encode(), tls=tls, length=length)
        assert bool(hits) is expected, payload


@given(
    value=st.text(alphabet="ab*?\\.é", min_size=1, max_size=6),
    text=st.text(alphabet="abAB*?\\.é\n", max_size=8),
)
@settings(deadline=None)
def test_wildcards_agree_with_a_translation_to_re(value, text):
    expected = re.compile(_to_python(value).encode(), re.DOTALL | re.IGNORECASE)
    pattern = Pattern(r"\A" + wildcards_to_regex(value) + r"x\z", DOTALL | CASELESS)
    # The x keeps `*` alone from being an expression that matches nothing at all.
    assert (pattern.search(text.encode() + b"x") is not None) is bool(
        expected.fullmatch(text.encode())
    )


def _to_python(value):
    parts = re.findall(r"\\[\\*?]|.", value, re.DOTALL)
    special = {"*": "(?:.|\n)*", "?": "(?:.|\n)"}
    return "".join(
        special.get(p) or re.escape(p[1:] if p[0] == "\\" and p[1:] else p) for p in parts
    )


@pytest.mark.parametrize(
    ("key", "value", "fires_on", "silent_on"),
    [
        ("payload", "attack", ["attack", "ATTACK"], ["attacks", "attack\n"]),
        ("payload", "at*k", ["attack", "at\nk"], ["attacks"]),
        ("payload|contains", "a?t", ["xxaBtx"], ["at"]),
        ("payload|contains", r"a\*b", ["xa*bx"], ["axb"]),
        ("payload|contains|cased", "aB", ["xaBx"], ["ab"]),
        ("payload|startswith", "at", ["attack"], ["an attack"]),
        ("payload|endswith", "ck", ["attack"], ["attacks", "attack\n"]),
        ("payload|contains|all", ["one", "two"], ["two one"], ["one", "two"]),
        ("payload|contains", ["one", "two"], ["one", "two"], ["three"]),
        ("payload|re", "^at+$", ["attt"], ["ATT", "x\natt"]),
        ("payload|re|i", "^at+$", ["ATT"], ["x\natt"]),
        ("payload|re|m", "^at+$", ["x\natt"], ["ATT"]),
        ("payload|re|s", "a.b", ["a\nb"], ["ab"]),
        ("payload|re", "a.b", ["axb"], ["a\nb"]),
        ("payload|contains", "é", ["café"], ["cafe"]),
        ("payload|contains", 42, ["x42"], ["4"]),
        ("|all", ["one", "two"], ["two one"], ["one"]),
    ],
)
def test_modifiers(make, key, value, fires_on, silent_on):
    rules = make.rule_set(make.rule(detection={"a": {key: value}, "condition": "a"}))
    assert [text for text in fires_on if not rules.judge(text.encode())] == []
    assert [text for text in silent_on if rules.judge(text.encode())] == []


def test_a_list_of_maps_is_an_or_and_a_map_an_and(make):
    detection = {
        "a": [{"payload|contains": "one", "tls": True}, {"payload|contains": "two"}],
        "condition": "a",
    }
    rules = make.rule_set(make.rule(detection=detection))
    assert rules.judge(b"one", tls=True)
    assert not rules.judge(b"one", tls=False)
    assert rules.judge(b"two", tls=False)
