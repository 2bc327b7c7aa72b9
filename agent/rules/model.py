"""What a rule is, once it was read and found sound.

Everything here is frozen and free of YAML: `load` makes it, `compile` and `judge` use it.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network

from sockwarden.agent.alert import Category, Level


class RuleError(ValueError):
    """Rules that cannot be used.

    RuleError
    +-- InvalidRulesError    files that were read and are wrong; `problems` has one line each
    """


@dataclass(frozen=True, order=True)
class Problem:
    path: str
    line: int
    key: str
    reason: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}: " if self.line else f"{self.path}: "
        return f"{place}{self.key}: {self.reason}" if self.key else f"{place}{self.reason}"


class InvalidRulesError(RuleError):
    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(map(str, self.problems)))


class Source(StrEnum):
    """What a rule looks at: `category` of a Sigma `logsource`."""

    HANDSHAKE = "handshake"
    FRAME = "frame"
    MESSAGE = "message"


# Conditions: tests of one field, and what joins them.


@dataclass(frozen=True)
class Matches:
    """The field's text has a match of `regex` (of bytes, in Vectorscan's syntax)."""

    field: str
    regex: str
    flags: int
    line: int = dataclasses.field(default=0, compare=False)


@dataclass(frozen=True)
class Compares:
    """The field's number stands so to `value`; a flag is 0 or 1."""

    field: str
    operator: str  # eq, gt, gte, lt, lte
    value: int


@dataclass(frozen=True)
class Exists:
    field: str


@dataclass(frozen=True)
class Within:
    """The field's address lies in the network."""

    field: str
    network: IPv4Network | IPv6Network


@dataclass(frozen=True)
class SameAs:
    """Both fields exist and hold the same, whatever the case of letters."""

    field: str
    other: str


@dataclass(frozen=True)
class And:
    parts: tuple["Condition", ...]


@dataclass(frozen=True)
class Or:
    parts: tuple["Condition", ...]


@dataclass(frozen=True)
class Not:
    part: "Condition"


Test = Matches | Compares | Exists | Within | SameAs
Condition = Test | And | Or | Not


@dataclass(frozen=True)
class Scope:
    """Which messages a rule is for: `ws` of a rule file."""

    directions: frozenset[str] = frozenset({"c2s", "s2c"})
    opcodes: frozenset[int] = frozenset({1, 2})
    raw: bool = True  # judge the payload as it came
    decoded: bool = True  # judge its decoded views


@dataclass(frozen=True)
class Verification:
    name: str
    parameter: float = 0.0


@dataclass(frozen=True)
class Example:
    """One entry of `tests`: an event, or `repeat` of them `interval_ns` apart."""

    match: bool
    fields: Mapping[str, object]
    line: int
    payload: bytes = b""
    repeat: int = 1
    interval_ns: int = 0


@dataclass(frozen=True, kw_only=True)
class Header:
    """What every rule tells of itself, and an alert passes on."""

    name: str
    title: str
    id: str
    level: Level
    category: Category
    status: str
    description: str
    references: tuple[str, ...]
    tags: tuple[str, ...]
    false_positives: tuple[str, ...]
    author: str
    date: str
    examples: tuple[Example, ...]
    path: str
    line: int


@dataclass(frozen=True, kw_only=True)
class Rule(Header):
    source: Source
    condition: Condition
    scope: Scope
    verification: Verification | None
    alerts: bool  # False: it only feeds correlations
    slow: bool = False  # its patterns may be searched in every message


@dataclass(frozen=True, kw_only=True)
class Correlation(Header):
    """Fires when `rules` matched often (or summed up to much) within `timespan_ns`."""

    rules: tuple[str, ...]
    group_by: str  # connection, source
    timespan_ns: int
    threshold: int
    value_field: str | None  # None: events are counted
    generate: bool  # the rules that it counts alert themselves too


AnyRule = Rule | Correlation


@dataclass(frozen=True)
class RuleHit:
    """A finding as Python sees it.  `view`: raw, or the decoded view that `evidence` is of."""

    rule: AnyRule
    evidence: str
    count: int = 1
    view: str = "raw"
