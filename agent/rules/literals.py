"""What a text must hold for a pattern to match: the literals of the gate, derived from its tree.

For each place of an expression the beginnings of what stands from there on are worked out, as
far as they are few; every match holds one of them.  The choice that ordinary traffic has least
of is taken.  A literal is a row of byte sets: a letter, a letter in both cases, a digit.  One
whose continuation is not known is `closed`; only others are extended.

White space of any length breaks a row in two.  There the rows are also tried in which it is
nothing, one byte, or more: then the last two of them begin a row afresh, whatever stands before.
"""

import functools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sockwarden.agent.rules.regex import ANY, Choice, Node, Octet, Repeat, Row, parse, positions
from sockwarden.agent.rules.traffic import per_kilobyte, presence, share

LITERALS_MAX = 64  # of one pattern
LITERAL_MAX_BYTES = 8
# A pattern that is sought in more places than this of a kilobyte has no literal to speak of.
SLOW_PER_KILOBYTE = 4.0
# What one more literal costs, in places of a kilobyte: few and short ones make a sharper gate.
_LITERAL_COST = 0.002
_SPREAD_SHARE = 0.2  # of ordinary bytes; white space is well below
NEEDS_MAX = 2  # sets of bytes that are asked for beside the literal
NEED_MAX_BYTES = 8
_NEED_PRESENCE = 0.3  # of messages; a byte that more of them hold is not worth asking for

Literal = tuple[int, ...]  # byte sets, as in `regex`


@dataclass(frozen=True)
class Requirement:
    """Every match holds one of `literals`, and a byte of each of `needs`."""

    literals: frozenset[Literal]
    needs: tuple[bytes, ...]
    per_kilobyte: float  # how often ordinary traffic holds one of the literals
    positions: int  # of the expression

    @property
    def slow(self) -> bool:
        exact = all(any(map(_is_letter, literal)) for literal in self.literals)
        return not self.literals or (self.per_kilobyte > SLOW_PER_KILOBYTE and not exact)


class _Beginning(NamedTuple):
    symbols: Literal
    closed: bool = False
    fresh: bool = False  # what stands before it is no part of it


_Beginnings = frozenset[_Beginning]
_Found = tuple[float, frozenset[Literal]]  # cost first

_NOTHING: _Beginnings = frozenset([_Beginning(())])
_ANYTHING: _Beginnings = frozenset([_Beginning((), closed=True)])


@functools.lru_cache(4096)
def requirement(regex: str, *, caseless: bool) -> Requirement:
    """Raises ValueError where `regex.parse` does."""
    node = parse(regex, caseless=caseless)
    found = _Search(spread=False).best(node)
    if _may_spread(node):
        found = min(found, _Search(spread=True).best(node), key=_cost)
    literals = found[1]
    rate = sum(map(per_kilobyte, literals))
    if () in literals:
        literals, rate = frozenset(), 1024.0
    needs = sorted(_needs(node), key=presence)[:NEEDS_MAX]
    return Requirement(literals, tuple(map(_members, needs)), rate, positions(node))


class _Search:
    """For the cheapest literals of a tree; `spread`: with rows that begin in white space."""

    def __init__(self, spread: bool) -> None:
        self.spread = spread
        self.known: dict[int, _Beginnings] = {}  # by the node's identity: it outlives the search

    def best(self, node: Node) -> _Found:
        found = _rated(self.beginnings(node))
        match node:
            case Row(parts) if len(run := _run(parts, 0)) == len(parts):
                # A part of a literal is no rarer than the whole.
                for start in range(1, len(run) - LITERAL_MAX_BYTES + 1):
                    literal = _trimmed(run[start : start + LITERAL_MAX_BYTES])
                    found = min(found, _rated_literals(frozenset([literal]), found[0]), key=_cost)
            case Row(parts):
                for start, part in enumerate(parts):
                    for beginnings in self.grown(parts[start:]):
                        found = min(found, _rated(beginnings, found[0]), key=_cost)
                    if not isinstance(part, Octet):
                        found = min(found, self.best(part), key=_cost)
            case Choice(parts):
                union = frozenset().union(*(self.best(part)[1] for part in parts))
                if len(union) <= LITERALS_MAX:
                    found = min(found, _rated_literals(union, found[0]), key=_cost)
            case Repeat(part, low, _) if low:
                found = min(found, self.best(part), key=_cost)
        return found

    def beginnings(self, node: Node) -> _Beginnings:
        made = self.known.get(id(node))
        if made is None:
            made = self.known[id(node)] = self.made(node)
        return made

    def made(self, node: Node) -> _Beginnings:
        match node:
            case Octet(mask):
                return frozenset([_Beginning((mask,))])
            case Row(parts):
                return [_NOTHING, *self.grown(parts)][-1]
            case Choice(parts):
                return _bounded(frozenset().union(*map(self.beginnings, parts)))
            case Repeat(Octet(mask), 0 | 1, None) if self.spread and _is_space(mask):
                one, more = _Beginning((mask,)), _Beginning((mask, mask), fresh=True)
                return frozenset([one, more] if node.low else [_Beginning(()), one, more])
            case Repeat(part, low, high):
                return _repeated(self.beginnings(part), low, high)

    def grown(self, parts: Sequence[Node]) -> Iterator[_Beginnings]:
        """The beginnings of the first part, of the first two, and so on; a run of bytes is one
        part, since the longer it is, the rarer."""
        made = _NOTHING
        place = 0
        while place < len(parts) and not _all_closed(made):
            run = _run(parts, place)
            if run:
                closed = len(run) > LITERAL_MAX_BYTES
                made = _product(made, frozenset([_Beginning(run[:LITERAL_MAX_BYTES], closed)]))
            else:
                made = _product(made, self.beginnings(parts[place]))
            place += len(run) or 1
            yield made


def _run(parts: Sequence[Node], place: int) -> Literal:
    masks = []
    for part in parts[place:]:
        if not isinstance(part, Octet):
            break
        masks.append(part.mask)
    return tuple(masks)


def _cost(found: _Found) -> float:
    return found[0]


def _all_closed(beginnings: _Beginnings) -> bool:
    for beginning in beginnings:  # noqa: SIM110 -- asked very often, answered by the first mostly
        if not beginning.closed:
            return False
    return True


def _is_space(mask: int) -> bool:
    return share(mask) < _SPREAD_SHARE


def _may_spread(node: Node) -> bool:
    """Whether a search that spreads differs from one that does not."""
    match node:
        case Row(parts) | Choice(parts):
            return any(map(_may_spread, parts))
        case Repeat(Octet(mask), 0 | 1, None):
            return _is_space(mask)
        case Repeat(part):
            return _may_spread(part)
        case _:
            return False


def _rated(beginnings: _Beginnings, bound: float = math.inf) -> _Found:
    return _rated_literals(frozenset([_trimmed(one.symbols) for one in beginnings]), bound)


def _rated_literals(literals: frozenset[Literal], bound: float = math.inf) -> _Found:
    """Above the bound the cost is not worked out: it is infinite then."""
    # What begins with another one of them says nothing more.
    sizes = sorted(set(map(len, literals)))
    needed = literals
    if len(sizes) > 1:
        needed = frozenset(
            [one for one in literals if not _begins_with_another(one, sizes, literals)]
        )
    of_all = _LITERAL_COST * len(needed)
    cost = 0.0
    for one in needed:
        if cost + of_all > bound:
            return math.inf, needed
        cost += per_kilobyte(one)
    return cost + of_all, needed


def _begins_with_another(one: Literal, sizes: list[int], literals: frozenset[Literal]) -> bool:
    for size in sizes:
        if size >= len(one):
            return False
        if one[:size] in literals:
            return True
    return False


def _trimmed(symbols: Literal) -> Literal:
    """Without sets of any byte at the ends, which say nothing."""
    if ANY not in symbols:
        return symbols
    start, end = 0, len(symbols)
    while start < end and symbols[end - 1] == ANY:
        end -= 1
    while start < end and symbols[start] == ANY:
        start += 1
    return symbols[start:end]


def _repeated(once: _Beginnings, low: int, high: int | None) -> _Beginnings:
    made = _NOTHING
    for _ in range(min(low, LITERAL_MAX_BYTES)):
        made = _product(made, once)
    if low > LITERAL_MAX_BYTES:
        return _closed(made)
    if high == low:
        return made
    further = once if high == low + 1 else _closed(once)
    return _product(made, _bounded(further | _NOTHING))


def _product(left: _Beginnings, right: _Beginnings) -> _Beginnings:
    growing = [beginning for beginning in left if not beginning.closed]
    if len(left) - len(growing) + len(growing) * len(right) > LITERALS_MAX:
        return _closed(left)
    ready = [beginning for beginning in left if beginning.closed]
    for before, _, was_fresh in growing:
        for after, closed, fresh in right:
            symbols = after if fresh else before + after
            cut = len(symbols) > LITERAL_MAX_BYTES
            ready.append(_Beginning(symbols[:LITERAL_MAX_BYTES], cut or closed, was_fresh or fresh))
    return frozenset(ready)


def _closed(beginnings: Iterable[_Beginning]) -> _Beginnings:
    return frozenset(_Beginning(one.symbols, True, one.fresh) for one in beginnings)


def _bounded(beginnings: _Beginnings) -> _Beginnings:
    return beginnings if len(beginnings) <= LITERALS_MAX else _ANYTHING


def _needs(node: Node) -> set[int]:
    """Small sets of bytes of each of which every match holds one."""
    match node:
        case Octet(mask):
            small = mask.bit_count() <= NEED_MAX_BYTES
            return {mask} if small and presence(mask) < _NEED_PRESENCE else set()
        case Row(parts):
            return set().union(*map(_needs, parts))
        case Choice(parts):
            each = [_needs(part) for part in parts]
            if not all(each):
                return set()
            union = functools.reduce(int.__or__, (min(needs, key=presence) for needs in each))
            return {union} if union.bit_count() <= NEED_MAX_BYTES else set()
        case Repeat(part, low, _):
            return _needs(part) if low else set()


def _members(mask: int) -> bytes:
    return bytes(octet for octet in range(256) if mask >> octet & 1)


def _is_letter(mask: int) -> bool:
    """One byte, or one in both cases."""
    return mask.bit_count() == 1 or (mask.bit_count() == 2 and mask & mask >> 32 != 0)
