"""The selections of a Sigma detection: maps of `field|modifier` to values, and keywords.

Entries of a map must all hold; of a list of maps one; of a list of values one, or with `all`
every one.  Texts are compared whatever the case of ASCII letters unless `cased`; `*` and `?`
are wildcards, a backslash takes their meaning from them.
"""

from ipaddress import ip_network

from sockwarden.agent.rules.document import Complaints, Value
from sockwarden.agent.rules.fields import KEYWORD_FIELDS, OF_SOURCE, WORDS, Kind
from sockwarden.agent.rules.model import (
    And,
    Compares,
    Condition,
    Exists,
    Matches,
    Not,
    Or,
    SameAs,
    Source,
    Within,
)
from sockwarden.agent.rules.pattern import CASELESS, DOTALL, MULTILINE

REGEX_MAX_CHARACTERS = 4096
VALUES_MAX = 1000

_COMPARISONS = ("gt", "gte", "lt", "lte")
_PLACES = ("contains", "startswith", "endswith", "re")
_REGEX_FLAGS = {"i": CASELESS, "m": MULTILINE, "s": DOTALL}
_EXCLUSIVE = (*_PLACES, *_COMPARISONS, "exists", "cidr", "fieldref")
_MODIFIERS = (*_EXCLUSIVE, "all", "cased", *_REGEX_FLAGS)

_NEVER = Or(())


class UnfitError(Exception):
    """Why a value does not fit its field or modifiers."""


class SelectionReader:
    def __init__(self, source: Source, complaints: Complaints) -> None:
        self.source = source
        self.fields = OF_SOURCE[source]
        self.complaints = complaints

    def read(self, value: Value) -> Condition:
        if isinstance(value.data, dict):
            return self._map(value)
        if isinstance(value.data, list) and any(isinstance(e.data, dict) for e in value.data):
            parts = tuple(self._map(entry) for entry in value.data)
            return parts[0] if len(parts) == 1 else Or(parts)
        return self._tests(KEYWORD_FIELDS[self.source], ["contains"], value)

    def _map(self, value: Value) -> Condition:
        if not isinstance(value.data, dict) or not value.data:
            self.complaints.add(value.line, value.key, "expected a map of fields, or keywords")
            return _NEVER
        parts = []
        for key, entry in value.data.items():
            name, *modifiers = key.split("|")
            if not name:  # keywords with modifiers
                name = KEYWORD_FIELDS[self.source]
                if not set(modifiers) & set(_PLACES):
                    modifiers.append("contains")
            parts.append(self._tests(name, modifiers, entry))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _tests(self, name: str, modifiers: list[str], value: Value) -> Condition:
        try:
            kind = self._check(name, modifiers)
        except UnfitError as error:
            self.complaints.add(value.line, value.key, str(error))
            return _NEVER
        entries = value.entries()
        if not 1 <= len(entries) <= VALUES_MAX:
            self.complaints.add(value.line, value.key, f"expected 1 to {VALUES_MAX} values")
            return _NEVER
        parts = []
        for entry in entries:
            try:
                parts.append(_test(name, kind, modifiers, entry))
            except UnfitError as error:
                self.complaints.add(entry.line, value.key, str(error))
        if len(parts) == 1:
            return parts[0]
        return And(tuple(parts)) if "all" in modifiers else Or(tuple(parts))

    def _check(self, name: str, modifiers: list[str]) -> Kind:
        if name not in self.fields:
            raise UnfitError(
                f"no field {name!r} in a {self.source} rule; there are: {', '.join(self.fields)}"
            )
        kind = self.fields[name]
        for modifier in modifiers:
            if modifier not in _MODIFIERS:
                raise UnfitError(
                    f"unknown modifier {modifier!r}; there are: {', '.join(_MODIFIERS)}"
                )
        exclusive = [modifier for modifier in modifiers if modifier in _EXCLUSIVE]
        if len(exclusive) > 1:
            raise UnfitError(f"modifiers {' and '.join(exclusive)} exclude each other")
        if set(modifiers) & set(_REGEX_FLAGS) and "re" not in modifiers:
            raise UnfitError("modifiers i, m and s belong behind re")
        if set(modifiers) & set(_PLACES) and kind not in (Kind.TEXT, Kind.TEXTS, Kind.ADDRESS):
            raise UnfitError(f"{exclusive[0]} needs a text; {name} is a {kind.name.lower()}")
        if set(modifiers) & set(_COMPARISONS) and kind is not Kind.NUMBER:
            raise UnfitError(f"{exclusive[0]} needs a number; {name} is a {kind.name.lower()}")
        if "cidr" in modifiers and kind is not Kind.ADDRESS:
            raise UnfitError(f"cidr needs an address; {name} is a {kind.name.lower()}")
        if self.source is Source.MESSAGE and {"exists", "fieldref"} & set(modifiers):
            raise UnfitError(f"{exclusive[0]} has no meaning for a message: all its fields exist")
        return kind


def _test(name: str, kind: Kind, modifiers: list[str], value: Value) -> Condition:
    if "exists" in modifiers:
        return Exists(name) if _flag(value) else Not(Exists(name))
    if value.data is None:
        return Not(Exists(name))
    if kind is Kind.FLAG:
        return Compares(name, "eq", int(_flag(value)))
    if kind is Kind.NUMBER:
        operators = [modifier for modifier in modifiers if modifier in _COMPARISONS]
        return Compares(name, operators[0] if operators else "eq", _number(name, value))
    return _text_test(name, modifiers, value)


def _text_test(name: str, modifiers: list[str], value: Value) -> Condition:
    if "fieldref" in modifiers:
        return SameAs(name, _text(value))
    if "cidr" in modifiers:
        try:
            return Within(name, ip_network(_text(value)))
        except ValueError as error:
            raise UnfitError(str(error)) from None
    if "re" in modifiers:
        return _regex(name, modifiers, value)
    return _wildcards(name, modifiers, value)


def _flag(value: Value) -> bool:
    if not isinstance(value.data, bool):
        raise UnfitError(f"expected true or false, found {value.kind}")
    return value.data


def _text(value: Value) -> str:
    if isinstance(value.data, bool) or not isinstance(value.data, str | int | float):
        raise UnfitError(f"expected a text, found {value.kind}")
    text = str(value.data)
    if not text:
        raise UnfitError("expected a text, found an empty one")
    if len(text) > REGEX_MAX_CHARACTERS:
        raise UnfitError(f"longer than {REGEX_MAX_CHARACTERS} characters")
    return text


def _number(name: str, value: Value) -> int:
    words = WORDS.get(name, {})
    if isinstance(value.data, str) and value.data in words:
        return words[value.data]
    if type(value.data) is not int or not 0 <= value.data < 1 << 64:
        wanted = f"one of {', '.join(words)}" if words else "a whole number, not negative"
        raise UnfitError(f"expected {wanted}, found {value.data!r}")
    return value.data


def _regex(name: str, modifiers: list[str], value: Value) -> Condition:
    flags = 0
    for modifier in modifiers:
        flags |= _REGEX_FLAGS.get(modifier, 0)
    return Matches(name, _text(value), flags, value.line)


def _wildcards(name: str, modifiers: list[str], value: Value) -> Condition:
    text = _text(value)
    front = "" if {"contains", "endswith"} & set(modifiers) else r"\A"
    back = "" if {"contains", "startswith"} & set(modifiers) else r"\z"
    body = wildcards_to_regex(text)
    # An open end at an open side says nothing, and costs.
    if not front or body.startswith(".*"):
        front, body = "", body.removeprefix(".*")
    if not back or body.endswith(".*"):
        back, body = "", body.removesuffix(".*")
    if not body:
        return Exists(name)
    flags = DOTALL if "cased" in modifiers else DOTALL | CASELESS
    return Matches(name, front + body + back, flags, value.line)


def wildcards_to_regex(text: str) -> str:
    """Sigma's `*`, `?` and backslash, as a regular expression of bytes."""
    parts = []
    i = 0
    while i < len(text):
        c = text[i]
        if c == "\\" and text[i + 1 : i + 2] in ("\\", "*", "?") and i + 1 < len(text):
            i += 1
            parts.append(_escaped(text[i]))
        elif c == "*":
            parts.append(".*")
        elif c == "?":
            parts.append(".")
        else:
            parts.append(c if c.isascii() and c.isalnum() else _escaped(c))
        i += 1
    return "".join(parts)


def _escaped(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode())
