"""Judges handshakes and anomalies, once each: the same conditions, on fields by name.

Texts are searched by Vectorscan as those of messages are: a handshake is as hostile as they.
A field that is absent or None fails every test but the one that it does not exist.
"""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import ip_address

from sockwarden.agent.rules.detectors.window import Windows
from sockwarden.agent.rules.model import (
    And,
    AnyRule,
    Compares,
    Condition,
    Correlation,
    Exists,
    Matches,
    Not,
    Or,
    Rule,
    RuleHit,
    SameAs,
    Source,
    Test,
    Within,
)
from sockwarden.agent.rules.pattern import Pattern

EVIDENCE_MAX_CHARACTERS = 512

COMPARISONS: Mapping[str, Callable[[int, int], bool]] = {
    "eq": operator.eq,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}

Fields = Mapping[str, object]


class FieldJudge:
    def __init__(self, rules: Sequence[AnyRule]) -> None:
        self._patterns: dict[tuple[str, int], Pattern] = {}
        self._rules = {
            source: [rule for rule in rules if isinstance(rule, Rule) and rule.source is source]
            for source in Source
        }
        self._correlations = [rule for rule in rules if isinstance(rule, Correlation)]

    def add_pattern(self, test: Matches, pattern: Pattern | None) -> None:
        if pattern is not None:
            self._patterns[test.regex, test.flags] = pattern

    def handshake(self, fields: Fields, windows: Windows | None, time_ns: int) -> list[RuleHit]:
        return self._judge(Source.HANDSHAKE, fields, windows, time_ns)

    def anomaly(
        self, kind: str, direction: str, fields: Fields, windows: Windows | None, time_ns: int
    ) -> list[RuleHit]:
        fields = {**fields, "anomaly": kind, "direction": direction}
        return self._judge(Source.FRAME, fields, windows, time_ns)

    def _judge(
        self, source: Source, fields: Fields, windows: Windows | None, time_ns: int
    ) -> list[RuleHit]:
        hits = []
        for rule in self._rules[source]:
            if not self._holds(rule.condition, fields):
                continue
            hit = RuleHit(rule, self._evidence(rule.condition, fields))
            if rule.alerts:
                hits.append(hit)
            if windows is not None:
                hits += self._correlate(hit, fields, windows, time_ns)
        return hits

    def _correlate(
        self, hit: RuleHit, fields: Fields, windows: Windows, time_ns: int
    ) -> Iterable[RuleHit]:
        for correlation in self._correlations:
            group = _group(correlation.group_by, fields)
            if hit.rule.name not in correlation.rules or group is None:
                continue
            key = (correlation.name, group)
            total = windows.add(key, time_ns, correlation.timespan_ns, 1, correlation.threshold)
            if total:
                yield RuleHit(correlation, hit.evidence, total)

    def _holds(self, condition: Condition, fields: Fields) -> bool:
        match condition:
            case And(parts):
                return all(self._holds(part, fields) for part in parts)
            case Or(parts):
                return any(self._holds(part, fields) for part in parts)
            case Not(part):
                return not self._holds(part, fields)
            case _:
                return self._test(condition, fields)

    def _test(self, test: Test, fields: Fields) -> bool:
        value = fields.get(test.field)
        if value is None:
            return False
        match test:
            case Matches():
                return self._find(test, value) is not None
            case Compares(_, name, wanted):
                return isinstance(value, int) and COMPARISONS[name](value, wanted)
            case SameAs(_, other):
                second = fields.get(other)
                return second is not None and str(value).lower() == str(second).lower()
            case Within(_, network):
                address = _address(value)
                return address is not None and ip_address(address) in network
            case Exists():
                return True

    def _find(self, test: Matches, value: object) -> str | None:
        """The part of the value, or of one of its entries, that the pattern matches."""
        pattern = self._patterns[test.regex, test.flags]
        for entry in value if isinstance(value, list | tuple) else [value]:
            if entry is None:
                continue
            text = _octets(str(entry))
            span = pattern.search(text)
            if span is not None:
                return text[span[0] : span[1]].decode(errors="backslashreplace")
        return None

    def _evidence(self, condition: Condition, fields: Fields) -> str:
        """What the tests found: `field=value`, one a field, not of what must be absent."""
        found: dict[str, str] = {}

        def visit(part: Condition) -> None:
            match part:
                case And(parts) | Or(parts):
                    for inner in parts:
                        visit(inner)
                case Matches(name):
                    text = self._find(part, fields.get(name))
                    if text is not None:
                        found.setdefault(name, text)
                case Compares(name) | SameAs(name) | Within(name) | Exists(name):
                    if self._holds(part, fields):
                        found.setdefault(name, str(fields[name]))

        visit(condition)
        return " ".join(f"{name}={text}" for name, text in found.items())[:EVIDENCE_MAX_CHARACTERS]


def _octets(text: str) -> bytes:
    """The parser shows the octets of a head as Latin-1; patterns are of octets."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode(errors="surrogateescape")


def _address(value: object) -> str | None:
    """Of `10.0.0.1:80` or `[2001:db8::1]:80`."""
    if not isinstance(value, str) or ":" not in value:
        return None
    address = value.rpartition(":")[0].strip("[]")
    try:
        return str(ip_address(address))
    except ValueError:
        return None


def _group(group_by: str, fields: Fields) -> object:
    if group_by == "source":
        return _address(fields.get("client"))
    return fields.get("connection")
