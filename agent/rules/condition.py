"""The `condition` of a Sigma detection: selections joined by and, or, not and quantifiers.

    condition = term {"or" term}
    term      = factor {"and" factor}
    factor    = "not" factor | "(" condition ")" | quantity "of" names | selection
    quantity  = "1" | "any" | "all"
    names     = "them" | selection with *

`them` leaves out selections whose name begins with an underscore (Sigma specification 2.0).
"""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase

from sockwarden.agent.rules.model import And, Condition, Not, Or

DEPTH_MAX = 16
LENGTH_MAX = 4096

_TOKEN = re.compile(r"\s*([()]|[^\s()]+)")
_KEYWORDS = {"and", "or", "not", "of", "(", ")"}


def parse_condition(text: str, selections: Mapping[str, Condition]) -> tuple[Condition, set[str]]:
    """The condition and the selections that it uses; raises ValueError with what is wrong."""
    if len(text) > LENGTH_MAX:
        raise ValueError(f"longer than {LENGTH_MAX} characters")
    parser = _Parser(_TOKEN.findall(text), selections)
    condition = parser.either(0)
    if parser.token:
        raise ValueError(f"expected and, or or the end, found {parser.token!r}")
    return condition, parser.used


class _Parser:
    def __init__(self, tokens: list[str], selections: Mapping[str, Condition]) -> None:
        self.tokens = tokens
        self.next = 0
        self.selections = selections
        self.used: set[str] = set()

    @property
    def token(self) -> str:
        return self.tokens[self.next] if self.next < len(self.tokens) else ""

    def accept(self, *words: str) -> bool:
        if self.token.lower() in words:
            self.next += 1
            return True
        return False

    def either(self, depth: int) -> Condition:
        parts = [self.both(depth)]
        while self.accept("or"):
            parts.append(self.both(depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def both(self, depth: int) -> Condition:
        parts = [self.factor(depth)]
        while self.accept("and"):
            parts.append(self.factor(depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def factor(self, depth: int) -> Condition:
        if depth > DEPTH_MAX:
            raise ValueError(f"nested more than {DEPTH_MAX} deep")
        if self.accept("not"):
            return Not(self.factor(depth + 1))
        if self.accept("("):
            inside = self.either(depth + 1)
            if not self.accept(")"):
                raise ValueError(f"expected ')', found {self.token or 'the end'!r}")
            return inside
        return self.reference()

    def reference(self) -> Condition:
        name = self.token
        if not name or name.lower() in _KEYWORDS:
            raise ValueError(f"expected a selection, found {name or 'the end'!r}")
        self.next += 1
        if name.lower() in ("1", "any", "all") and self.accept("of"):
            return self.quantified(every=name.lower() == "all")
        if name not in self.selections:
            known = ", ".join(self.selections) or "none"
            raise ValueError(f"no selection {name!r}; there are: {known}")
        self.used.add(name)
        return self.selections[name]

    def quantified(self, *, every: bool) -> Condition:
        pattern = self.token
        self.next += 1
        if pattern.lower() == "them":
            names = [name for name in self.selections if not name.startswith("_")]
        else:
            names = [name for name in self.selections if fnmatchcase(name, pattern)]
        if not names:
            raise ValueError(f"no selection fits {pattern or 'the end'!r}")
        self.used.update(names)
        parts = tuple(self.selections[name] for name in names)
        return And(parts) if every else Or(parts)
