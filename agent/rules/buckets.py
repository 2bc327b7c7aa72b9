"""How the gate is laid out: parts that are asked for, windows of literals, buckets of windows.

Most patterns need a byte that ordinary messages have little of, such as `<` or `;`.  Their
literals stand in parts of their own, which are asked only where the text holds such a byte.

A kernel tests the three bytes of a window at every place of a text against all buckets at once.
A window passes a bucket where its bytes pass place by place, so windows that look alike go
together, those first that cost most.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from sockwarden.agent.rules.literals import Literal, Requirement, per_kilobyte, share
from sockwarden.agent.rules.regex import ANY, mask_of

# As in simd/gate.h.
BUCKETS = 16
WINDOW_BYTES = 3
PARTS_MAX = 9  # the first is always asked; the others have a bit of a byte each

_WINDOWS_TRIED = 3


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

    def add(self, number: int, requirement: Requirement) -> None:
        for literal in sorted(requirement.literals):
            self.users.setdefault(literal, []).append(number)


def parts(requirements: Mapping[int, Requirement]) -> list[Part]:
    """The patterns by number, in one part that is always asked and up to eight more."""
    needs = {
        number: mask_of(requirement.needs[0]) if requirement.needs else ANY
        for number, requirement in requirements.items()
    }
    groups: dict[int, set[int]] = {}
    for number, need in needs.items():
        if need != ANY:
            groups.setdefault(need, set()).add(number)
    while len(groups) > PARTS_MAX - 1:
        one, other = _cheapest_union(groups)
        members = groups.pop(one) | groups.pop(other)
        groups[one | other] = groups.get(one | other, set()) | members
    made = [Part(ANY), *(Part(need) for need in sorted(groups, key=share, reverse=True))]
    for number in sorted(requirements):
        home = next((part for part in made[1:] if number in groups[part.asked_by]), made[0])
        home.add(number, requirements[number])
    return made


def _cheapest_union(groups: Mapping[int, set[int]]) -> tuple[int, int]:
    def cost(pair: tuple[int, int]) -> float:
        one, other = pair
        both = share(one | other) * (len(groups[one]) + len(groups[other]))
        return both - share(one) * len(groups[one]) - share(other) * len(groups[other])

    needs = sorted(groups)
    return min(((a, b) for i, a in enumerate(needs) for b in needs[i + 1 :]), key=cost)


def place(literals: Sequence[Literal]) -> list[Placed]:
    """Each literal with its window and bucket, in the order given."""
    masks = [(0,) * WINDOW_BYTES] * BUCKETS
    rates = [0.0] * BUCKETS
    placed: dict[Literal, Placed] = {}
    for literal in sorted(literals, key=lambda one: (-per_kilobyte(_windows(one)[0].window), one)):
        best: tuple[float, int, Placed] | None = None
        for window in _windows(literal)[:_WINDOWS_TRIED]:
            for number in range(BUCKETS):
                added = _rate(_united(masks[number], window.window)) - rates[number]
                if best is None or added < best[0]:
                    best = added, number, window
        assert best is not None
        _, number, window = best
        masks[number] = _united(masks[number], window.window)
        rates[number] = _rate(masks[number])
        placed[literal] = Placed(literal, window.offset, number)
    return [placed[literal] for literal in literals]


def _windows(literal: Literal) -> list[Placed]:
    """All of them, the rarest first."""
    last = max(len(literal) - WINDOW_BYTES, 0)
    windows = [Placed(literal, offset, 0) for offset in range(last + 1)]
    return sorted(windows, key=lambda one: per_kilobyte(one.window))


def _united(masks: Sequence[int], window: Sequence[int]) -> tuple[int, ...]:
    return tuple(one | other for one, other in zip(masks, window, strict=True))


def _rate(masks: Sequence[int]) -> float:
    return prod(map(share, masks))
