"""How the gate is laid out: parts that are asked for, windows of literals, buckets of windows.

Most patterns need a byte that ordinary messages have little of, such as `<` or `;`.  Their
literals stand in parts of their own, which are asked only where the text holds such a byte.

A kernel tests the three bytes of a window at every place of a text against all buckets at once.
A window passes a bucket where its bytes pass place by place, so windows that look alike go
together, those first that cost most.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sockwarden.agent.rules.literals import Literal, Requirement
from sockwarden.agent.rules.regex import ANY, mask_of
from sockwarden.agent.rules.traffic import per_kilobyte, places, presence

# As in simd/gate.h.
BUCKETS = 16
WINDOW_BYTES = 3
PARTS_MAX = 9  # the first is always asked; the others have a bit of a byte each

_WINDOWS_TRIED = 3
# What it costs to ask a part, in literals that are sought as well where one is asked anyhow.
_PART_COST_LITERALS = 100


@dataclass(frozen=True)
class Placed:
    literal: Literal
    offset: int  # of the window in the literal
    bucket: int

    @property
    def window(self) -> Literal:
        """Its three sets; a literal that is shorter goes on with any byte."""
        sets = self.literal[self.offset : self.offset + WINDOW_BYTES]
        return sets + (ANY,) * (WINDOW_BYTES - len(sets))


@dataclass
class Part:
    asked_by: int  # set of bytes; of the first part, any
    users: dict[Literal, list[int]] = field(default_factory=dict)  # numbers of patterns
    placed: list["Placed"] = field(default_factory=list)

    def add(self, number: int, requirement: Requirement) -> None:
        for literal in sorted(requirement.literals):
            self.users.setdefault(literal, []).append(number)


def lay_out(requirements: Mapping[int, Requirement]) -> list[Part]:
    """Those that have a literal to speak of, in parts with windows and buckets."""
    made = parts({number: needed for number, needed in requirements.items() if not needed.slow})
    for part in made:
        part.placed = place(list(part.users))
    return made


def parts(requirements: Mapping[int, Requirement]) -> list[Part]:
    """The patterns by number, in one part that is always asked and up to eight more."""
    groups: dict[int, set[int]] = {ANY: set()}
    for number, requirement in requirements.items():
        need = mask_of(requirement.needs[0]) if requirement.needs else ANY
        groups.setdefault(need, set()).add(number)
    while len(groups) > 1:
        literals = {
            need: sum(len(requirements[number].literals) for number in numbers)
            for need, numbers in groups.items()
        }
        saved, one, other = _best_union(literals)
        if saved < 0 and len(groups) <= PARTS_MAX:
            break
        members = groups.pop(one) | groups.pop(other)
        groups[one | other] = groups.get(one | other, set()) | members
    made = []
    for need in sorted(groups, key=presence, reverse=True):
        part = Part(need)
        for number in sorted(groups[need]):
            part.add(number, requirements[number])
        made.append(part)
    return made


def _best_union(literals: Mapping[int, int]) -> tuple[float, int, int]:
    """Of parts, by what asks them, with so many literals each: what it saves, and which two."""

    def cost(need: int, count: int) -> float:
        return presence(need) * (_PART_COST_LITERALS + count)

    costs = {need: cost(need, count) for need, count in literals.items()}
    needs = sorted(literals)
    return max(
        (costs[a] + costs[b] - cost(a | b, literals[a] + literals[b]), a, b)
        for i, a in enumerate(needs)
        for b in needs[i + 1 :]
    )


def place(literals: Sequence[Literal]) -> list[Placed]:
    """Each literal with its window and bucket, in the order given."""
    buckets = [_Bucket() for _ in range(BUCKETS)]
    placed: dict[Literal, Placed] = {}
    for literal in sorted(literals, key=lambda one: (-per_kilobyte(_windows(one)[0].window), one)):
        number, window = _cheapest(_windows(literal)[:_WINDOWS_TRIED], buckets)
        buckets[number].add(_fitting(window.window))
        placed[literal] = replace(window, bucket=number)
    return [placed[literal] for literal in literals]


def _cheapest(windows: Sequence[Placed], buckets: Sequence["_Bucket"]) -> tuple[int, Placed]:
    """The number of a bucket, and the window that lets least more pass it."""
    best: tuple[int, int, Placed] | None = None
    for window in windows:
        fitting = _fitting(window.window)
        for number, bucket in enumerate(buckets):
            added = bucket.passing_with(fitting) - bucket.passing
            if added == 0:
                return number, window
            if best is None or added < best[0]:
                best = added, number, window
    assert best is not None
    return best[1:]


def _fitting(window: Literal) -> Sequence[int]:
    """Per place of the window, where a row begins whose byte fits there."""
    return [places(mask) >> offset for offset, mask in enumerate(window)]


class _Bucket:
    """What passes: places of ordinary traffic whose bytes fit members in all three places."""

    def __init__(self) -> None:
        self.fits = [0] * WINDOW_BYTES
        self.passing = 0

    def passing_with(self, fitting: Sequence[int]) -> int:
        (a, b, c), (one, two, three) = self.fits, fitting
        return ((a | one) & (b | two) & (c | three)).bit_count()

    def add(self, fitting: Sequence[int]) -> None:
        self.passing = self.passing_with(fitting)
        self.fits = list(map(int.__or__, self.fits, fitting))


def _windows(literal: Literal) -> list[Placed]:
    """All of them, the rarest first."""
    last = max(len(literal) - WINDOW_BYTES, 0)
    windows = [Placed(literal, offset, 0) for offset in range(last + 1)]
    return sorted(windows, key=lambda one: per_kilobyte(one.window))
