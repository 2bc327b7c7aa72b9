"""YAML documents with the line of every value, read within bounds.

Rule files are data from elsewhere: a file has at most FILE_MAX_BYTES, nests at most DEPTH_MAX
deep, has no anchors and aliases (a few lines of them can stand for gigabytes), no tags and no
key twice.  The bounds are checked on the stream of events, before anything is built of it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import yaml

from sockwarden.agent.rules.model import Problem

FILE_MAX_BYTES = 64 << 10
DEPTH_MAX = 24

T = TypeVar("T")

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_constructor = yaml.constructor.SafeConstructor()


@dataclass
class Complaints:
    """Collects what is wrong with one file."""

    path: str
    problems: list[Problem] = field(default_factory=list)

    def add(self, line: int, key: str, reason: str) -> None:
        self.problems.append(Problem(self.path, line, key, reason))


@dataclass(frozen=True)
class Value:
    """A YAML value, where it stands, and the key that it stands under."""

    data: Any  # str, int, float, bool, None, date; list of Value; dict from str to Value
    line: int
    key: str

    @property
    def kind(self) -> str:
        names = {dict: "a map", list: "a list", str: "a text", bool: "a truth value"}
        numbers = {int: "a number", float: "a number", type(None): "nothing"}
        return (names | numbers).get(type(self.data), "a date")

    def entries(self) -> list["Value"]:
        """The entries of a list; else this value alone."""
        return self.data if isinstance(self.data, list) else [self]


class UnreadableError(Exception):
    def __init__(self, line: int, reason: str) -> None:
        self.line = line
        self.reason = reason


def read_documents(text: bytes, complaints: Complaints) -> list[Value]:
    """The documents of a file; none where it cannot be read, which is among the complaints."""
    try:
        if len(text) > FILE_MAX_BYTES:
            raise UnreadableError(
                0, f"{len(text)} bytes long; a rule file has at most {FILE_MAX_BYTES}"
            )
        decoded = text.decode()
        _check_bounds(decoded)
        nodes = list(yaml.compose_all(decoded, Loader=_Loader))
        if not nodes:
            raise UnreadableError(0, "no rule in this file")
        return [_value(node, "", complaints) for node in nodes]
    except UnreadableError as error:
        complaints.add(error.line, "", error.reason)
    except UnicodeDecodeError as error:
        complaints.add(text[: error.start].count(b"\n") + 1, "", "not UTF-8")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line + 1 if mark else 0
        complaints.add(line, "", f"not YAML: {error.problem}")
    except yaml.YAMLError as error:
        complaints.add(0, "", f"not YAML: {str(error).splitlines()[0]}")
    return []


def _check_bounds(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise UnreadableError(line, "anchors and aliases are not allowed in rules")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEPTH_MAX:
                raise UnreadableError(line, f"nested more than {DEPTH_MAX} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _value(node: yaml.Node, key: str, complaints: Complaints) -> Value:
    line = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        return Value(_mapping(node, key, complaints), line, key)
    if isinstance(node, yaml.SequenceNode):
        return Value([_value(entry, key, complaints) for entry in node.value], line, key)
    try:
        return Value(_constructor.construct_object(node), line, key)
    except (ValueError, yaml.constructor.ConstructorError):
        complaints.add(line, key, f"{node.value!r} cannot be read; put it in quotes")
        return Value("", line, key)


def _mapping(node: yaml.MappingNode, parent: str, complaints: Complaints) -> dict[str, Value]:
    entries: dict[str, Value] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            complaints.add(line, parent, "a key must be a text")
            continue
        key = key_node.value
        path = f"{parent}.{key}" if parent else key
        if key in entries:
            complaints.add(line, path, f"given twice, first in line {entries[key].line}")
            continue
        entries[key] = _value(value_node, path, complaints)
    return entries


class Map:
    """Takes keys from a map one by one; complains about missing, wrong and left-over ones."""

    def __init__(self, value: Value, complaints: Complaints) -> None:
        self.line = value.line
        self.key = value.key
        self.complaints = complaints
        self._lines: dict[str, int] = {}
        self._left: dict[str, Value] = {}
        if isinstance(value.data, dict):
            self._left = dict(value.data)
        else:
            complaints.add(value.line, value.key, f"expected a map, found {value.kind}")

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._left))

    def path(self, key: str) -> str:
        return ".".join(part for part in (self.key, key) if part)

    def complain(self, key: str, reason: str, line: int | None = None) -> None:
        """At the line of what was taken under `key`, or where the map begins."""
        place = self._lines.get(key, self.line) if line is None else line
        self.complaints.add(place, self.path(key), reason)

    def take(self, key: str, *, required: bool = False) -> Value | None:
        value = self._left.pop(key, None)
        if value is not None:
            self._lines[key] = value.line
        elif required:
            self.complain(key, "missing")
        return value

    def text(self, key: str, *, required: bool = False, default: str = "") -> str:
        value = self.take(key, required=required)
        if value is None:
            return default
        if not isinstance(value.data, str) or not value.data.strip():
            self.complain(key, f"expected a text, found {value.kind}", value.line)
            return default
        return value.data.strip()

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.take(key)
        if value is None:
            return ()
        entries = value.entries()
        for entry in entries:
            if not isinstance(entry.data, str):
                self.complain(key, f"expected texts, found {entry.kind}", entry.line)
                return ()
        return tuple(entry.data for entry in entries)

    def number(self, key: str, default: int = 0) -> int:
        value = self.take(key)
        if value is None:
            return default
        if type(value.data) is not int or value.data < 0:
            self.complain(key, f"expected a whole number, found {value.data!r}", value.line)
            return default
        return value.data

    def flag(self, key: str) -> bool:
        value = self.take(key)
        if value is not None and not isinstance(value.data, bool):
            self.complain(key, f"expected true or false, found {value.kind}", value.line)
        return value is not None and value.data is True

    def parsed(
        self, key: str, parse: Callable[[str], T], default: T, *, required: bool = False
    ) -> T:
        """What `parse` makes of a text; its ValueError is the complaint."""
        value = self.take(key, required=required)
        if value is None:
            return default
        try:
            return parse(str(value.data))
        except ValueError as error:
            self.complain(key, str(error), value.line)
            return default

    def finish(self, known: str) -> None:
        """Complains about keys that nobody took."""
        for key, value in self._left.items():
            self.complain(key, f"unknown key; there are: {known}", value.line)
