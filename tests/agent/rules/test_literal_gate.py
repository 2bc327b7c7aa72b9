"""The gate never loses a match: what a pattern matches, it is a candidate for."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sockwarden.agent.rules import sample
from sockwarden.agent.rules.compile import matches_of
from sockwarden.agent.rules.gate import Gate, variants
from sockwarden.agent.rules.literals import requirement
from sockwarden.agent.rules.model import Rule, Source
from sockwarden.agent.rules.pattern import CASELESS, DOTALL, Pattern
from sockwarden.agent.rules.regex import Choice, Octet, Repeat, Row, parse

# What the parser has to read as Vectorscan does, each with texts that hold a match.
SYNTAX = [
    (r"attack", 0, [b"attack", b"an attack!"]),
    (r"attack", CASELESS, [b"aTTack"]),
    (r"ab(cd|ef)*gh", 0, [b"abgh", b"abcdefgh"]),
    (r"ab(cd|ef)+gh|xyz\d", 0, [b"abefgh", b"xyz7"]),
    (r"\x41\x{42}\103\cA", 0, [b"ABC\x01"]),
    (r"a{3}b{2,}c{0,2}d", 0, [b"aaabbbd", b"aaabbccd"]),
    (r"a{x}b{,2}", 0, [b"a{x}b{,2}"]),
    (r"[]a-c]z[^]a]", 0, [b"]zb", b"bzz"]),
    (r"[\w.-]@[[:alpha:]]q", 0, [b"-@Zq", b".@aq"]),
    (r"[^\d]key", 0, [b"\xffkey"]),
    (r"\Qa.b*\Ec", 0, [b"a.b*c"]),
    (r"(?i)one|TWO", 0, [b"ONE", b"two"]),
    (r"x(?i:y)z", 0, [b"xYz"]),
    (r"(?i)x(?-i:y)z", 0, [b"XyZ"]),
    (r"a(?#note)b", 0, [b"ab"]),
    (r"(?P<name>ab)(?<other>cd)", 0, [b"abcd"]),
    (r"or\s+1", 0, [b"or 1", b"or \t\n 1"]),
    (r"'\s*or\s*'", 0, [b"'or'", b"' or '", b"'  or   '"]),
    (r"a.b", DOTALL, [b"a\nb"]),
    (r"^ab$|\Acd\z|\bef\B", 0, [b"ab", b"cd", b"efg"]),
    (r"ab\hcd\v", 0, [b"ab\tcd\n"]),
    ("k\u00e9y", 0, ["k\u00e9y".encode()]),
    (r"\xc0\xae[\xaf\x9c]", CASELESS, [b"\xc0\xae\xaf"]),
    (r"a+?b*?c??d", 0, [b"aabd"]),
    (r"(a|b|)(c|d?)e", 0, [b"e", b"ade"]),
]


def generated(node, rng):
    """A text that the tree matches."""
    match node:
        case Octet(mask):
            return bytes([rng.choice([octet for octet in range(256) if mask >> octet & 1])])
        case Row(parts):
            return b"".join(generated(part, rng) for part in parts)
        case Choice(parts):
            return generated(rng.choice(parts), rng)
        case Repeat(part, low, high):
            most = low + 3 if high is None else min(high, low + 3)
            return b"".join(generated(part, rng) for _ in range(rng.randint(low, most)))


@pytest.fixture(scope="module")
def patterns(shipped):
    """Of the message rules that ship: (regex, flags), each once."""
    return list(
        dict.fromkeys(
            (test.regex, test.flags)
            for rule in shipped.rules
            if isinstance(rule, Rule) and rule.source is Source.MESSAGE
            for test in matches_of(rule.condition)
        )
    )


@pytest.fixture(scope="module")
def check(patterns):
    """Fails where a pattern matches the text and a gate does not say so."""
    needs = {
        number: requirement(regex, caseless=bool(flags & CASELESS))
        for number, (regex, flags) in enumerate(patterns)
    }
    gates = [Gate(needs, variant) for variant in variants()]
    compiled = [Pattern(regex, flags) for regex, flags in patterns]

    def check(text):
        candidates, *others = [gate.candidates(text) for gate in gates]
        assert all(other == candidates for other in others)
        missing = set(range(len(compiled))) - set(candidates)
        lost = [patterns[number] for number in missing if compiled[number].search(text)]
        assert lost == [], text

    return check


@pytest.mark.parametrize(("regex", "flags", "texts"), SYNTAX, ids=[case[0] for case in SYNTAX])
@pytest.mark.parametrize("variant", variants())
def test_expressions_are_read_as_vectorscan_reads_them(regex, flags, texts, variant):
    gate = Gate({0: requirement(regex, caseless=bool(flags & CASELESS))}, variant)
    for text in texts:
        assert Pattern(regex, flags).search(text), text
        for before in (b"", b"x", b"-" * 31, b"-" * 63, b"-" * 65):
            for behind in (b"", b"y", b"=" * 64):
                whole = before + text + behind
                if Pattern(regex, flags).search(whole):
                    assert gate.candidates(whole) == [0], whole
    assert gate.candidates(b"") == ([] if gate.always_count == 0 else [0])


def test_the_tests_of_all_rules_pass_the_gate(shipped, check):
    for rule in shipped.rules:
        for example in rule.examples:
            check(example.payload)


@pytest.mark.parametrize("direction", ["c2s", "s2c"])
def test_what_a_pattern_finds_alone_it_finds_among_all(shipped, direction):
    """Vectorscan lost matches of `{{` in a database of many patterns once."""
    wanted = {
        test.regex
        for rule in shipped.rules
        if isinstance(rule, Rule) and rule.source is Source.MESSAGE
        for test in matches_of(rule.condition)
        if direction in rule.scope.directions
    }
    found = 0
    texts = {example.payload for rule in shipped.rules for example in rule.examples}
    for text in sorted(texts | {b"{{self}}", b"{{ self }}", b"x={{self.a}}"}):
        alone, together = shipped.matching(text, int(direction == "s2c"))
        assert (alone & wanted) ^ together == set(), text
        found += len(together)
    assert found > 5


def test_benign_messages_pass_alike_in_all_variants(check):
    for message in sample.messages(300, seed=3):
        check(message)


def test_what_the_patterns_describe_passes_the_gate(patterns, check):
    rng = random.Random(6)
    for regex, flags in patterns:
        tree = parse(regex, caseless=bool(flags & CASELESS))
        for _ in range(12):
            before, behind = (rng.choice([b"", b"'", b" x=", b'{"a":"']) for _ in range(2))
            check(before + generated(tree, rng) + behind)


def test_mutated_texts_pass_the_gate(shipped, check):
    rng = random.Random(5)
    texts = [example.payload for rule in shipped.rules for example in rule.examples]
    texts += sample.messages(100, seed=4)
    for _ in range(1500):
        one, other = bytearray(rng.choice(texts)), rng.choice(texts)
        place = rng.randrange(len(one) + 1)
        match rng.randrange(3):
            case 0:
                one[place : place + 1] = bytes([rng.randrange(256)])
            case 1:
                one[place:place] = other[: rng.randrange(40)]
            case 2:
                one = one[place:] + other[: rng.randrange(len(other) + 1)]
        check(bytes(one))


@given(st.binary(max_size=200))
@settings(deadline=None, max_examples=150)
def test_any_bytes_pass_alike_in_all_variants(check, text):
    check(text)


def test_nothing_behind_the_end_is_read():
    gate = Gate({0: requirement("attack", caseless=False)})
    whole = memoryview(b"an attack")
    assert [gate.candidates(bytes(whole[:size])) for size in (8, 9)] == [[], [0]]


def test_a_message_without_the_needed_byte_is_no_candidate():
    gate = Gate({0: requirement(r"union\s*\(", caseless=True)})
    assert gate.candidates(b"the union of") == []
    assert gate.candidates(b"UNION  (") == [0]


@pytest.mark.parametrize("regex", [r"\d{16}", r".*", r"\w+", r"[a-z]+\s[a-z]+", r"(a|.)b*"])
def test_an_expression_without_a_literal_is_slow(regex):
    needed = requirement(regex, caseless=False)
    assert needed.slow
    assert Gate({0: needed}).candidates(b"some text") == [0]


@pytest.mark.parametrize("regex", ["a", "ab", r"\d+-x", "(this|that)", r"[0-9]{3}@"])
def test_a_short_literal_is_one(regex):
    assert not requirement(regex, caseless=False).slow


@pytest.mark.parametrize("regex", ["x[ab]{5000}y", "(x.{1,99}){99}", "((a{60}){60}){60}"])
def test_an_expression_that_compiles_for_long_is_refused(make, regex):
    detection = {"a": {"payload|re": regex}, "condition": "a"}
    with pytest.raises(ValueError, match="bytes long with its repeats written out; at most 4096"):
        make.rule_set(make.rule(detection=detection))


def test_slow_patterns_need_the_rules_word(make):
    detection = {"a": {"payload|re": r"\d{16}"}, "condition": "a"}
    with pytest.raises(ValueError, match=r"0\.yml:\d+: detection: .* has no literal to look for"):
        make.rule_set(make.rule(detection=detection))
    rules = make.rule_set(make.rule(detection=detection, slow=True), make.rule("other"))
    assert make.names(rules.judge(b"4111111111111111")) == ["example"]
    assert make.names(rules.judge(b"attack")) == ["other"]


def test_a_slow_pattern_behind_not_costs_nothing_and_needs_no_word(make):
    detection = {
        "a": {"payload|contains": "attack"},
        "b": {"payload|re": r"\d\d"},
        "condition": "a and not b",
    }
    rules = make.rule_set(make.rule(detection=detection))
    assert rules.judge(b"attack 1")
    assert not rules.judge(b"attack 12")


def test_many_candidates_are_searched_at_once_with_the_same_result(make):
    documents = [
        make.rule(f"r{number}", {"a": {"payload|re": rf"at+ack\s+{number}\b"}, "condition": "a"})
        for number in range(24)
    ]
    rules = make.rule_set(*documents)
    text = b"attack 3 attttack  17 attack 5x"
    assert sorted(make.names(rules.judge(text))) == ["r17", "r3"]
