"""Runs the tests that stand in the rules themselves, one rule at a time."""

from collections.abc import Iterator
from dataclasses import replace

from sockwarden.agent.rules.compile import compile_rules
from sockwarden.agent.rules.detectors.window import Windows
from sockwarden.agent.rules.engine import RuleSet
from sockwarden.agent.rules.fields import DIRECTIONS, WORDS
from sockwarden.agent.rules.model import AnyRule, Correlation, Example, Problem, Rule, Source

NS_PER_MS = 10**6


def failed_tests(rules: RuleSet) -> list[Problem]:
    """What the rules' own tests show to be wrong, by the line of the test."""
    by_name = {rule.name: rule for rule in rules.rules}
    problems = []
    for rule in rules.rules:
        base = by_name[rule.rules[0]] if isinstance(rule, Correlation) else rule
        assert isinstance(base, Rule)
        # One that only feeds correlations is tried as if it stood alone.
        silent = isinstance(rule, Rule) and not rule.alerts
        tried = compile_rules([replace(base, alerts=True)]) if silent else rules
        for example in rule.examples:
            if _fires(tried, rule, base, example) is not example.match:
                key = "tests.match" if example.match else "tests.no_match"
                reason = "the rule does not fire" if example.match else "the rule fires"
                problems.append(Problem(rule.path, example.line, key, reason))
    return problems


def _fires(rules: RuleSet, rule: AnyRule, base: Rule, example: Example) -> bool:
    judge = _messages if base.source is Source.MESSAGE else _occasions
    return any(name == rule.name for name in judge(rules, base, example))


def _messages(rules: RuleSet, base: Rule, example: Example) -> Iterator[str]:
    session = rules.session()
    facts = {
        "direction": min(DIRECTIONS[name] for name in base.scope.directions),
        "opcode": min(base.scope.opcodes),
    }
    for name, value in example.fields.items():
        facts[name] = WORDS[name][value] if isinstance(value, str) else _whole(value)
    if "inflate_ratio" in facts:
        ratio = facts.pop("inflate_ratio")
        facts["wire_length"] = facts.get("length", len(example.payload)) // max(ratio, 1)
    if "age_ms" in facts:
        facts["age_ns"] = facts.pop("age_ms") * NS_PER_MS
    for number in range(example.repeat):
        facts["time_ns"] = number * example.interval_ns
        for hit in session.judge(example.payload, **facts):
            yield hit.rule.name


def _whole(value: object) -> int:
    assert isinstance(value, int)  # the loader saw to it
    return int(value)


def _occasions(rules: RuleSet, base: Rule, example: Example) -> Iterator[str]:
    windows = Windows()
    fields = {"client": "192.0.2.1:4711", "connection": 1, **example.fields}
    for number in range(example.repeat):
        time_ns = number * example.interval_ns
        if base.source is Source.HANDSHAKE:
            hits = rules.judge_handshake(fields, windows, time_ns=time_ns)
        else:
            kind = str(fields.get("anomaly", ""))
            direction = str(fields.get("direction", "c2s"))
            hits = rules.judge_anomaly(kind, direction, fields, windows, time_ns=time_ns)
        for hit in hits:
            yield hit.rule.name
