"""Rules to what the engine runs: numbered patterns, postfix programs, ranges in flat arrays.

A pattern that several rules share is numbered once.  A rule whose condition cannot hold while
none of its patterns matches is judged only where one may; the others are `unprompted`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from sockwarden.agent.rules import derived
from sockwarden.agent.rules.cache import Cache
from sockwarden.agent.rules.derived import Derived
from sockwarden.agent.rules.engine import RuleSet
from sockwarden.agent.rules.facts import FACTS
from sockwarden.agent.rules.judge import FieldJudge
from sockwarden.agent.rules.literals import Requirement
from sockwarden.agent.rules.model import (
    And,
    AnyRule,
    Compares,
    Condition,
    Correlation,
    Exists,
    InvalidRulesError,
    Matches,
    Not,
    Or,
    Problem,
    Rule,
    RuleError,
    Source,
)
from sockwarden.agent.rules.pattern import CASELESS, Pattern
from sockwarden.agent.rules.regex import TooLargeError

PATTERNS_MAX = 50_000
POSITIONS_MAX = 1_000_000  # of all patterns; regex.POSITIONS_MAX bounds each
NO_LITERAL = (
    "has no literal to look for, so every message would be searched for it: add some text that "
    "always stands there, or slow: true to the rule"
)

# StepKind and Operator of program.pxd.
_PATTERN, _FACT, _AND, _OR, _NOT = range(5)
_OPERATORS = {"eq": 0, "gt": 1, "gte": 2, "lt": 3, "lte": 4}
_DIRECTION_BITS = {"c2s": 1, "s2c": 2}


@dataclass(frozen=True)
class Step:
    kind: int
    fact: int = 0
    operator: int = 0
    pattern: int = 0
    value: int = 0


@dataclass(frozen=True)
class Program:
    rule: int
    steps: tuple[int, int]  # first and count, as the two below
    evidence: tuple[int, int]
    feeds: tuple[int, int]
    opcodes: int
    directions: int
    raw: bool
    decoded: bool
    alerts: bool
    verifier: str | None
    parameter: float


@dataclass(frozen=True)
class Feed:
    rule: int
    window: int
    timespan_ns: int
    threshold: int
    value_fact: int


@dataclass
class Plan:
    rules: tuple[AnyRule, ...]
    digest: str
    judge_fields: FieldJudge
    derived: Derived
    eager: bool = True
    patterns: tuple[Pattern, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    steps: list[Step] = field(default_factory=list)
    evidence: list[int] = field(default_factory=list)
    feeds: list[Feed] = field(default_factory=list)
    programs: list[Program] = field(default_factory=list)
    patterns_of_direction: tuple[Sequence[int], Sequence[int]] = ((), ())
    users: list[int] = field(default_factory=list)
    users_first: list[int] = field(default_factory=list)
    unprompted: list[int] = field(default_factory=list)
    window_count: int = 0


class Patterns:
    """Patterns by number; the same expression with the same flags is one pattern."""

    def __init__(self, known: Derived, *, eager: bool) -> None:
        self._derived, self._eager = known, eager
        self.problems: list[Problem] = []
        self.requirements: list[Requirement] = []
        self._numbers: dict[tuple[str, int], int] = {}  # -1: refused
        self._patterns: list[Pattern] = []

    def number(self, test: Matches, rule: Rule) -> int:
        key = (test.regex, test.flags)
        if key not in self._numbers:
            self._numbers[key] = -1
            try:
                pattern, needed = _compiled(test, self._derived, eager=self._eager)
            except ValueError as error:
                self.complain(test, rule, f"cannot be used: {error}")
            else:
                self._numbers[key] = len(self._patterns)
                self._patterns.append(pattern)
                self.requirements.append(needed)
        return self._numbers[key]

    def complain(self, test: Matches, rule: Rule, reason: str) -> None:
        text = f"{test.regex!r} {reason}"
        self.problems.append(Problem(rule.path, test.line, "detection", text))

    def __getitem__(self, number: int) -> Pattern:
        return self._patterns[number]

    def all(self) -> tuple[Pattern, ...]:
        return tuple(self._patterns)


def _compiled(test: Matches, known: Derived, *, eager: bool) -> tuple[Pattern, Requirement]:
    unread = None
    try:
        needed = known.requirement(test.regex, caseless=bool(test.flags & CASELESS))
    except TooLargeError:
        raise
    except ValueError as error:
        unread = error
    # Says best what is wrong.
    pattern = Pattern(test.regex, test.flags, eager=eager, databases=known.databases)
    if unread:
        raise unread
    return pattern, needed


def compile_rules(
    rules: Sequence[AnyRule],
    texts: Sequence[bytes] = (),
    *,
    eager: bool = True,
    cache: Cache | None = None,
) -> RuleSet:
    """`texts`, the files that the rules come from, are what the digest is of.

    `eager`: compile now what only hostile messages need, too: where a pattern matches, and all of
    them together.  Else the first is compiled at the first hit, and many are searched one by one.
    `cache`: what was derived of the same rules before is taken from it.

    Raises InvalidRulesError where Vectorscan refuses patterns.
    """
    digest = sha256(b"\0".join(sha256(text).digest() for text in texts)).hexdigest()
    if cache is None:
        return RuleSet(_plan(rules, digest, Derived(), eager))
    key = derived.key(digest, eager=eager)
    known = cache.read(key, Derived) or Derived()
    rule_set = RuleSet(_plan(rules, digest, known, eager))
    if not known.complete:
        cache.write(key, known.encoded())
    return rule_set


def _plan(rules: Sequence[AnyRule], digest: str, known: Derived, eager: bool) -> Plan:
    of_fields = Patterns(known, eager=eager)
    plan = Plan(tuple(rules), digest, FieldJudge(rules), known, eager)
    patterns = Patterns(known, eager=eager)
    for number, rule in enumerate(rules):
        if isinstance(rule, Rule):
            if rule.source is Source.MESSAGE:
                _add_program(plan, patterns, number, rule)
            else:
                for test in matches_of(rule.condition):
                    plan.judge_fields.add_pattern(test, _checked(of_fields, test, rule))
    problems = patterns.problems + of_fields.problems
    if problems:
        raise InvalidRulesError(problems)
    if len(patterns.all()) > PATTERNS_MAX:
        raise RuleError(f"{len(patterns.all())} patterns; at most {PATTERNS_MAX} are compiled")
    size = sum(needed.positions for needed in patterns.requirements)
    if size > POSITIONS_MAX:
        raise RuleError(
            f"the patterns of all rules are {size} bytes long with their repeats written out; at "
            f"most {POSITIONS_MAX} are compiled"
        )
    plan.patterns = patterns.all()
    plan.requirements = tuple(patterns.requirements)
    plan.window_count = sum(isinstance(rule, Correlation) for rule in rules)
    _index_users(plan)
    return plan


def _checked(patterns: Patterns, test: Matches, rule: Rule) -> Pattern | None:
    number = patterns.number(test, rule)
    return patterns[number] if number >= 0 else None


def _add_program(plan: Plan, patterns: Patterns, number: int, rule: Rule) -> None:
    first_step, first_evidence, first_feed = len(plan.steps), len(plan.evidence), len(plan.feeds)
    _add_steps(plan.steps, patterns, rule.condition, rule)
    shown = {
        patterns.number(test, rule): test for test in matches_of(rule.condition, negated=False)
    }
    plan.evidence += shown
    for pattern, test in shown.items():
        if pattern >= 0 and patterns.requirements[pattern].slow and not rule.slow:
            patterns.complain(test, rule, NO_LITERAL)
    for window, other in enumerate(plan.rules):
        if isinstance(other, Correlation) and rule.name in other.rules:
            plan.feeds.append(_feed(plan, window, other))
    verification = rule.verification
    plan.programs.append(
        Program(
            rule=number,
            steps=(first_step, len(plan.steps) - first_step),
            evidence=(first_evidence, len(plan.evidence) - first_evidence),
            feeds=(first_feed, len(plan.feeds) - first_feed),
            opcodes=sum(1 << opcode for opcode in rule.scope.opcodes),
            directions=sum(_DIRECTION_BITS[name] for name in rule.scope.directions),
            raw=rule.scope.raw,
            decoded=rule.scope.decoded,
            alerts=rule.alerts,
            verifier=verification.name if verification else None,
            parameter=verification.parameter if verification else 0.0,
        )
    )


def _feed(plan: Plan, number: int, correlation: Correlation) -> Feed:
    before = plan.rules[:number]
    return Feed(
        rule=number,
        window=sum(isinstance(rule, Correlation) for rule in before),
        timespan_ns=correlation.timespan_ns,
        threshold=correlation.threshold,
        value_fact=FACTS.index(correlation.value_field) if correlation.value_field else -1,
    )


def _add_steps(steps: list[Step], patterns: Patterns, condition: Condition, rule: Rule) -> None:
    """Left operands are on the stack as one bit while the right ones are worked out, so the
    stack is as deep as the condition is nested: condition.DEPTH_MAX and two more at most."""
    match condition:
        case Matches():
            steps.append(Step(_PATTERN, pattern=patterns.number(condition, rule)))
        case Compares(name, operator, value):
            steps.append(Step(_FACT, FACTS.index(name), _OPERATORS[operator], value=value))
        case Exists():  # of a payload: it is not empty
            steps.append(Step(_FACT, FACTS.index("length"), _OPERATORS["gt"], value=0))
        case Not(part):
            _add_steps(steps, patterns, part, rule)
            steps.append(Step(_NOT))
        case And(parts) | Or(parts):
            kind = _AND if isinstance(condition, And) else _OR
            for number, part in enumerate(parts):
                _add_steps(steps, patterns, part, rule)
                if number:
                    steps.append(Step(kind))
        case _:
            raise TypeError(f"no program for {condition!r} in a message rule")


def matches_of(condition: Condition, negated: bool | None = None) -> list[Matches]:
    """The tests of patterns; with `negated` those under an odd (True) or even count of nots."""
    found: list[Matches] = []

    def visit(part: Condition, under_not: bool) -> None:
        match part:
            case Matches() if negated is None or negated is under_not:
                found.append(part)
            case Not(inner):
                visit(inner, not under_not)
            case And(parts) | Or(parts):
                for inner in parts:
                    visit(inner, under_not)

    visit(condition, False)
    return found


def possible_without_patterns(condition: Condition) -> bool:
    """Whether it may hold where no pattern matches, whatever the facts."""
    return _bounds(condition)[1]


def _bounds(condition: Condition) -> tuple[bool, bool]:
    """Whether it must, and whether it may hold where no pattern matches."""
    match condition:
        case Matches():
            return False, False
        case Not(part):
            must, may = _bounds(part)
            return not may, not must
        case And(parts):
            bounds = [_bounds(part) for part in parts]
            return all(must for must, _ in bounds), all(may for _, may in bounds)
        case Or(parts):
            bounds = [_bounds(part) for part in parts]
            return any(must for must, _ in bounds), any(may for _, may in bounds)
        case _:
            return False, True


def _index_users(plan: Plan) -> None:
    """A program that needs a pattern to hold is looked at only where one of those may match that
    make it hold; those behind `not` never do."""
    users: list[list[int]] = [[] for _ in plan.patterns]
    wanted: tuple[set[int], set[int]] = (set(), set())  # by direction
    for number, program in enumerate(plan.programs):
        rule = plan.rules[program.rule]
        assert isinstance(rule, Rule)
        if possible_without_patterns(rule.condition):
            plan.unprompted.append(number)
        else:
            first, count = program.evidence
            for pattern in plan.evidence[first : first + count]:
                users[pattern].append(number)
        first, count = program.steps
        used = {step.pattern for step in plan.steps[first : first + count] if step.kind == _PATTERN}
        for direction, patterns in enumerate(wanted):
            if program.directions >> direction & 1:
                patterns.update(used)
    plan.patterns_of_direction = (sorted(wanted[0]), sorted(wanted[1]))
    for numbers in users:
        plan.users_first.append(len(plan.users))
        plan.users += numbers
    plan.users_first.append(len(plan.users))
