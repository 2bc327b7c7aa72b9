"""What a text must hold for a pattern to match: the literals of the gate, derived from its tree.

For each place of an expression the beginnings of what stands from there on are worked out, as
far as they are few; every match holds one of them.  The choice that ordinary traffic has least
of is taken.  A literal is a row of byte sets: a letter, a letter in both cases, a digit.  One
whose continuation is not known is `closed`; only others are extended.
"""

import functools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sockwarden.agent.rules.regex import ANY, Choice, Node, Octet, Repeat, Row

LITERALS_MAX = 64  # of one pattern
LITERAL_MAX_BYTES = 8
# A pattern that is sought in more places than this of a kilobyte has no literal to speak of.
SLOW_PER_KILOBYTE = 4.0
# What one more literal costs, in places of a kilobyte: few and short ones make a sharper gate.
_LITERAL_COST = 0.002
_NEEDS_MAX = 2  # sets of bytes that are asked for beside the literal
_NEED_MAX_BYTES = 4

Literal = tuple[int, ...]  # byte sets, as in `regex`


@dataclass(frozen=True)
class Requirement:
    """Every match holds one of `literals`, and a byte of each of `needs`."""

    literals: frozenset[Literal]
    needs: tuple[bytes, ...]
    per_kilobyte: float  # how often ordinary traffic holds one of the literals

    @property
    def slow(self) -> bool:
        exact = all(any(map(_is_letter, literal)) for literal in self.literals)
        return not self.literals or (self.per_kilobyte > SLOW_PER_KILOBYTE and not exact)


@dataclass(frozen=True)
class _Beginning:
    symbols: Literal
    closed: bool = False


_Beginnings = frozenset[_Beginning]
_Found = tuple[float, frozenset[Literal]]  # cost first

_NOTHING: _Beginnings = frozenset([_Beginning(())])
_ANYTHING: _Beginnings = frozenset([_Beginning((), closed=True)])


def requirement(node: Node) -> Requirement:
    _, literals = _best(node)
    rate = sum(map(per_kilobyte, literals))
    if () in literals:
        literals, rate = frozenset(), 1024.0
    needs = sorted(_needs(node), key=share)[:_NEEDS_MAX]
    return Requirement(literals, tuple(map(_members, needs)), rate)


def _best(node: Node) -> _Found:
    found = _rated(_beginnings(node))
    match node:
        case Row(parts):
            for start, part in enumerate(parts):
                for beginnings in _grown(parts[start:]):
                    found = min(found, _rated(beginnings), key=_cost)
                if not isinstance(part, Octet):
                    found = min(found, _best(part), key=_cost)
        case Choice(parts):
            union = frozenset().union(*(_best(part)[1] for part in parts))
            if len(union) <= LITERALS_MAX:
                found = min(found, _rated_literals(union), key=_cost)
        case Repeat(part, low, _) if low:
            found = min(found, _best(part), key=_cost)
    return found


def _cost(found: _Found) -> float:
    return found[0]


def _rated(beginnings: _Beginnings) -> _Found:
    return _rated_literals(frozenset(_trimmed(beginning.symbols) for beginning in beginnings))


def _rated_literals(literals: frozenset[Literal]) -> _Found:
    # What begins with another one of them says nothing more.
    needed = frozenset(
        one for one in literals if not any(one[:size] in literals for size in range(len(one)))
    )
    return sum(map(per_kilobyte, needed)) + _LITERAL_COST * len(needed), needed


def _trimmed(symbols: Literal) -> Literal:
    """Without sets of any byte at the ends, which say nothing."""
    start, end = 0, len(symbols)
    while start < end and symbols[end - 1] == ANY:
        end -= 1
    while start < end and symbols[start] == ANY:
        start += 1
    return symbols[start:end]


def _beginnings(node: Node) -> _Beginnings:
    match node:
        case Octet(mask):
            return frozenset([_Beginning((mask,))])
        case Row(parts):
            made = _NOTHING
            for made in _grown(parts):
                pass
            return made
        case Choice(parts):
            return _bounded(frozenset().union(*map(_beginnings, parts)))
        case Repeat(part, low, high):
            return _repeated(_beginnings(part), low, high)


def _grown(parts: Sequence[Node]) -> Iterator[_Beginnings]:
    """The beginnings of the first part, of the first two, and so on."""
    made = _NOTHING
    for part in parts:
        if all(beginning.closed for beginning in made):
            return
        made = _product(made, _beginnings(part))
        yield made


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
    ready = {beginning for beginning in left if beginning.closed}
    growing = left - ready
    if len(ready) + len(growing) * len(right) > LITERALS_MAX:
        return _closed(left)
    for one in growing:
        for other in right:
            symbols = one.symbols + other.symbols
            cut = len(symbols) > LITERAL_MAX_BYTES
            ready.add(_Beginning(symbols[:LITERAL_MAX_BYTES], cut or other.closed))
    return frozenset(ready)


def _closed(beginnings: Iterable[_Beginning]) -> _Beginnings:
    return frozenset(_Beginning(beginning.symbols, closed=True) for beginning in beginnings)


def _bounded(beginnings: _Beginnings) -> _Beginnings:
    return beginnings if len(beginnings) <= LITERALS_MAX else _ANYTHING


def _needs(node: Node) -> set[int]:
    """Small sets of bytes of each of which every match holds one."""
    match node:
        case Octet(mask):
            return {mask} if mask.bit_count() <= _NEED_MAX_BYTES and share(mask) < 0.005 else set()
        case Row(parts):
            return set().union(*map(_needs, parts))
        case Choice(parts):
            each = [_needs(part) for part in parts]
            if not all(each):
                return set()
            union = functools.reduce(int.__or__, (min(needs, key=share) for needs in each))
            return {union} if union.bit_count() <= _NEED_MAX_BYTES else set()
        case Repeat(part, low, _):
            return _needs(part) if low else set()


def _members(mask: int) -> bytes:
    return bytes(octet for octet in range(256) if mask >> octet & 1)


def _is_letter(mask: int) -> bool:
    """One byte, or one in both cases."""
    return mask.bit_count() == 1 or (mask.bit_count() == 2 and mask & mask >> 32 != 0)


# How often bytes stand in JSON messages, chat and markup: bits of surprise.
_SURPRISE = (
    (" ", 3.6),
    ('etaoinsr"', 4.2),
    ("dlcumhpg", 5.0),
    ("bfywvk_:,0123456789", 5.6),
    ("jxqz-./{}", 7.0),
    ("ABCDEFGHIJKLMNOPQRSTUVWXYZ", 7.5),
    ("'\\=+()[]", 8.0),
)
_RARE_BITS = 10.0
_BITS = {ord(c): bits for text, bits in _SURPRISE for c in text}
FREQUENCIES = tuple(2 ** -_BITS.get(octet, _RARE_BITS) for octet in range(256))


@functools.cache
def share(mask: int) -> float:
    """Of the bytes of ordinary traffic, those that are in the set."""
    if mask == ANY:
        return 1.0
    return math.fsum(FREQUENCIES[octet] for octet in _members(mask))


def per_kilobyte(literal: Literal) -> float:
    return 1024 * math.prod(map(share, literal))
