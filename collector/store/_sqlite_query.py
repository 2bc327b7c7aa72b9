"""A filter and a dimension of statistics as SQL of the embedded store.

Values are always bound, never written into the SQL.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sockwarden.collector.store import Filter
from sockwarden.proto.v1.alert_pb2 import Category, Level
from sockwarden.proto.v1.query_pb2 import Dimension

_HOUR_S = 3600
_HOUR_NS = _HOUR_S * 10**9


class Condition:
    """The WHERE clause of a filter."""

    def __init__(self, chosen: Filter) -> None:
        self._terms: list[str] = []
        self.values: list[Any] = []
        if chosen.since_ns is not None:
            self.add("time_ns >= ?", chosen.since_ns)
        if chosen.until_ns is not None:
            self.add("time_ns < ?", chosen.until_ns)
        if chosen.agents:
            hosts = f"SELECT id FROM hosts WHERE agent IN ({_places(chosen.agents)})"  # noqa: S608
            self.add(f"host IN ({hosts})", *chosen.agents)
        if chosen.rules:
            self.add(f"rule IN ({_places(chosen.rules)})", *chosen.rules)
        if chosen.minimum_level:
            self.add("level >= ?", chosen.minimum_level)
        if chosen.categories:
            self.add(f"category IN ({_places(chosen.categories)})", *chosen.categories)
        if chosen.source:
            self.add("source = ?", chosen.source)
        if "/" in chosen.process:
            self.add("process = ?", chosen.process)
        elif chosen.process:
            tail = f"/{chosen.process}"
            self.add("substr(process, ?) = ?", -len(tail), tail)
        if chosen.path.endswith("*"):
            prefix = chosen.path[:-1]
            self.add("substr(path, 1, ?) = ?", len(prefix), prefix)
        elif chosen.path:
            self.add("path = ?", chosen.path)
        if chosen.text:
            # Not LIKE: that ends at a zero byte and gives meaning to % and _.
            self.add(
                "(instr(lower(evidence), lower(?)) OR instr(lower(title), lower(?)))",
                chosen.text,
                chosen.text,
            )

    def add(self, term: str, *values: Any) -> None:
        self._terms.append(term)
        self.values.extend(values)

    @property
    def where(self) -> str:
        return f"WHERE {' AND '.join(self._terms)}" if self._terms else ""


def _places(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))


@dataclass(frozen=True, slots=True)
class StatsKey:
    """What is grouped by, and the text of one of its values (with the agents by host row)."""

    sql: str
    text: Callable[[Any, Mapping[int, str]], str]


def _plain(value: Any, _agents: Mapping[int, str]) -> str:
    return str(value)


def _hour(value: Any, _agents: Mapping[int, str]) -> str:
    return datetime.fromtimestamp(value * _HOUR_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _level(value: Any, _agents: Mapping[int, str]) -> str:
    return str(Level.Name(value)).removeprefix("LEVEL_").lower()


def _category(value: Any, _agents: Mapping[int, str]) -> str:
    return str(Category.Name(value)).removeprefix("CATEGORY_").lower()


_KEYS: dict[int, StatsKey] = {
    Dimension.DIMENSION_AGENT: StatsKey("host", lambda value, agents: agents[value]),
    Dimension.DIMENSION_RULE: StatsKey("rule", _plain),
    Dimension.DIMENSION_LEVEL: StatsKey("level", _level),
    Dimension.DIMENSION_CATEGORY: StatsKey("category", _category),
    Dimension.DIMENSION_SOURCE: StatsKey("source", _plain),
    Dimension.DIMENSION_PATH: StatsKey("path", _plain),
    Dimension.DIMENSION_PROCESS: StatsKey("process", _plain),
    Dimension.DIMENSION_HOUR: StatsKey(f"time_ns / {_HOUR_NS}", _hour),
}


def stats_key(dimension: int) -> StatsKey:
    return _KEYS[dimension]
