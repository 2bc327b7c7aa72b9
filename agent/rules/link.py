"""How the rules of all files stand to each other: names, correlations, what is left out."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from sockwarden.agent.rules.model import (
    AnyRule,
    Correlation,
    Problem,
    Rule,
    RuleError,
    Source,
)


def clashes(rules: Sequence[AnyRule]) -> list[Problem]:
    problems = []
    for key in ("name", "id"):
        first: dict[str, AnyRule] = {}
        for rule in rules:
            value = getattr(rule, key)
            other = first.setdefault(value, rule)
            if other is not rule:
                reason = f"{value!r} is taken by {other.path}:{other.line}"
                problems.append(Problem(rule.path, rule.line, key, reason))
    return problems


def link(rules: list[AnyRule]) -> tuple[list[AnyRule], list[Problem]]:
    """Silences the rules that feed correlations; checks that these feed on what there is."""
    problems = []
    known = {rule.name: rule for rule in rules if isinstance(rule, Rule)}
    silent: set[str] = set()
    for rule in rules:
        if not isinstance(rule, Correlation):
            continue
        if not rule.generate:
            silent.update(rule.rules)
        for name in rule.rules:
            base = known.get(name)
            reason = None
            if base is None:
                reason = f"no rule of the name {name!r}"
            elif base.source is Source.MESSAGE and rule.group_by != "connection":
                reason = f"{name} is a message rule: those are grouped by connection only"
            elif base.source is not Source.MESSAGE and rule.value_field is not None:
                reason = f"{name} is a {base.source} rule: value_sum is for message rules"
            if reason:
                problems.append(Problem(rule.path, rule.line, "correlation.rules", reason))
    linked = [
        replace(rule, alerts=False) if isinstance(rule, Rule) and rule.name in silent else rule
        for rule in rules
    ]
    return sorted(linked, key=lambda rule: rule.name), problems


def without(rules: list[AnyRule], disabled: Collection[str]) -> list[AnyRule]:
    """A correlation needs all its rules; one that only fed correlations needs one of them."""
    asked = {name.lower() for name in disabled}
    for name in sorted(asked - {key for rule in rules for key in (rule.name, rule.id)}):
        raise RuleError(f"disabled: no rule of the name or id {name!r}")
    off = {rule.name for rule in rules if asked & {rule.name, rule.id}}
    counting = [
        rule
        for rule in rules
        if isinstance(rule, Correlation) and rule.name not in off and not off & set(rule.rules)
    ]
    counted = {name for rule in counting for name in rule.rules}
    return [
        rule
        for rule in rules
        if rule in counting
        or (
            (isinstance(rule, Rule) and rule.name not in off)
            and (rule.alerts or rule.name in counted)
        )
    ]
