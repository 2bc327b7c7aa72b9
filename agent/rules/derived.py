"""What loading works out from patterns alone, so that it is worked out once: see `cache`.

Requirements, the layouts of the gates and the databases of Vectorscan, each by what it was made
of.  What an earlier load left is used where it is there; the rest is made, and `encoded` holds
what the next load of the same rules will ask for.
"""

import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import msgspec

from sockwarden.agent.rules import buckets, databases, literals, pattern, regex, sample, traffic
from sockwarden.agent.rules.buckets import BUCKETS, Part, Placed, lay_out
from sockwarden.agent.rules.databases import Databases, built_for
from sockwarden.agent.rules.literals import LITERAL_MAX_BYTES, Literal, Requirement, requirement

_MASK_BYTES = 32
# What is kept is of no use to a program that would make something else.
_MAKERS = (buckets, databases, literals, pattern, regex, sample, traffic)

_Number = Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]
_Row = Annotated[list[_Number], msgspec.Meta(max_length=LITERAL_MAX_BYTES)]  # numbers of masks
_Need = Annotated[bytes, msgspec.Meta(max_length=literals.NEED_MAX_BYTES)]
_Needs = Annotated[list[_Need], msgspec.Meta(max_length=literals.NEEDS_MAX)]


class _Requirement(msgspec.Struct, array_like=True):
    literals: list[_Row]
    needs: _Needs
    per_kilobyte: float
    positions: _Number


class _Placed(msgspec.Struct, array_like=True):
    literal: _Row
    offset: Annotated[int, msgspec.Meta(ge=0, lt=LITERAL_MAX_BYTES)]
    bucket: Annotated[int, msgspec.Meta(ge=0, lt=BUCKETS)]
    users: list[_Number]


class _Part(msgspec.Struct, array_like=True):
    asked_by: _Number
    placed: list[_Placed]


class _Layout(msgspec.Struct, array_like=True):
    patterns: list[_Number]
    parts: Annotated[list[_Part], msgspec.Meta(max_length=buckets.PARTS_MAX)]


class _Stored(msgspec.Struct, array_like=True):
    masks: list[Annotated[bytes, msgspec.Meta(min_length=_MASK_BYTES, max_length=_MASK_BYTES)]]
    requirements: dict[str, _Requirement]
    layouts: list[_Layout]
    databases: dict[bytes, bytes]


class Derived:
    """`stored`: what `encoded` gave after an earlier load; raises ValueError where it is not."""

    def __init__(self, stored: bytes | None = None) -> None:
        self._requirements: dict[str, Requirement] = {}
        self._layouts: dict[tuple[int, ...], list[Part]] = {}
        self._asked: set[str] = set()
        self._complete = stored is not None
        known: dict[bytes, bytes] = {}
        if stored is not None:
            read = msgspec.msgpack.decode(stored, type=_Stored)
            try:
                self._take(read)
            except IndexError:
                raise ValueError("a set of bytes that is not there") from None
            known = read.databases
        self.databases = Databases(known)

    def _take(self, stored: _Stored) -> None:
        masks = [int.from_bytes(mask, "little") for mask in stored.masks]

        def literal(row: list[int]) -> Literal:
            return tuple(masks[number] for number in row)

        for key, one in stored.requirements.items():
            rows = frozenset(map(literal, one.literals))
            self._requirements[key] = Requirement(
                rows, tuple(one.needs), one.per_kilobyte, one.positions
            )
        for layout in stored.layouts:
            known = set(layout.patterns)
            parts = []
            for stored_part in layout.parts:
                part = Part(masks[stored_part.asked_by])
                for placed in stored_part.placed:
                    if not known.issuperset(placed.users):
                        raise ValueError("a literal of no pattern")
                    row = literal(placed.literal)
                    part.users[row] = placed.users
                    part.placed.append(Placed(row, placed.offset, placed.bucket))
                parts.append(part)
            self._layouts[tuple(layout.patterns)] = parts

    @property
    def complete(self) -> bool:
        """Whether all that was asked for was there."""
        return self._complete and self.databases.complete

    def requirement(self, expression: str, *, caseless: bool) -> Requirement:
        """As `literals.requirement`."""
        key = f"{caseless:d}{expression}"
        found = self._requirements.get(key)
        if found is None:
            self._complete = False
            found = requirement(expression, caseless=caseless)
            self._requirements[key] = found
        self._asked.add(key)
        return found

    def layout(self, requirements: Mapping[int, Requirement]) -> list[Part]:
        """As `buckets.lay_out`; these are the requirements of the same rules, by number."""
        key = tuple(requirements)
        found = self._layouts.get(key)
        if found is None:
            self._complete = False
            found = self._layouts[key] = lay_out(requirements)
        return found

    def encoded(self) -> bytes:
        masks: dict[int, int] = {}

        def number(mask: int) -> int:
            return masks.setdefault(mask, len(masks))

        def row(literal: Literal) -> list[int]:
            return [number(mask) for mask in literal]

        requirements = {
            key: _Requirement(
                [row(literal) for literal in sorted(one.literals)],
                list(one.needs),
                one.per_kilobyte,
                one.positions,
            )
            for key, one in self._requirements.items()
            if key in self._asked
        }
        layouts = [
            _Layout(
                list(key),
                [
                    _Part(
                        number(part.asked_by),
                        [
                            _Placed(
                                row(one.literal), one.offset, one.bucket, part.users[one.literal]
                            )
                            for one in part.placed
                        ],
                    )
                    for part in parts
                ],
            )
            for key, parts in self._layouts.items()
        ]
        table = [mask.to_bytes(_MASK_BYTES, "little") for mask in masks]
        stored = _Stored(table, requirements, layouts, self.databases.used)
        return msgspec.msgpack.encode(stored)


def key(digest: str, *, eager: bool) -> str:
    """Of what is derived: by these rules, this program, this library, on this processor."""
    hashed = sha256(f"{digest} {eager} {built_for()} {sys.version}".encode())
    for path in (__file__, *(module.__file__ for module in _MAKERS)):
        hashed.update(sha256(Path(path or "").read_bytes()).digest())
    return hashed.hexdigest()
