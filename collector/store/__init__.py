"""Where alerts are kept: what a store promises, and the registry of stores.

A store is a module of this package with `open_store(path, limit_bytes) -> Store`; its
name is `[store] engine` in the configuration.  A store is written by one thread and read
by many.  Every method blocks; reads end with `QueryTimeout` when `budget_s` is used up.
"""

import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sockwarden.collector.errors import StoreError
from sockwarden.proto.v1.alert_pb2 import Alert
from sockwarden.proto.v1.ingest_pb2 import Heartbeat, Hello
from sockwarden.proto.v1.query_pb2 import Host, StatsRow, StoredAlert


@dataclass(frozen=True, slots=True)
class Delivery:
    """Alerts of one spool, validated, in ascending order of their sequence."""

    agent: str
    spool: int
    alerts: Sequence[Alert]


@dataclass(frozen=True, slots=True)
class Sighting:
    """A sign of life of an agent: its greeting or its heartbeat."""

    agent: str
    time_ns: int
    hello: Hello | None = None
    heartbeat: Heartbeat | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """`position` is that of the newest alert in the store, 0 before the first."""

    position: int
    stored: int
    repeated: int


@dataclass(frozen=True, slots=True)
class Filter:
    """All that are set must hold; the empty filter lets everything through.

    `since_ns` is within the range, `until_ns` is not.  `process` is an executable's path,
    or its last part if it has no slash.  `path` ending in `*` is a prefix.  `text` is part
    of the evidence or the title, ASCII letters alike in both cases.
    """

    since_ns: int | None = None
    until_ns: int | None = None
    agents: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    minimum_level: int = 0
    categories: tuple[int, ...] = ()
    source: str = ""
    process: str = ""
    path: str = ""
    text: str = ""


EVERYTHING = Filter()


@dataclass(frozen=True, slots=True)
class Page:
    """`size` alerts by (time, position) behind `after`, none stored later than `newest`."""

    size: int
    oldest_first: bool = False
    after: tuple[int, int] | None = None
    newest: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    used_bytes: int
    limit_bytes: int
    alerts: int


class Store(Protocol):
    def write(self, deliveries: Sequence[Delivery], sightings: Sequence[Sighting]) -> Written:
        """All or nothing, durable on return.

        An alert whose sequence is not above its spool's cursor is there already and adds
        nothing.  Raises `StoreFull` if there is no room, `StoreError` otherwise.
        """

    def expire(self, before_ns: int, limit: int) -> int:
        """Deletes up to `limit` of the oldest alerts received before; how many they were.

        Cursors stay: an alert that has gone does not come back when it is sent again.
        """

    def cursor(self, agent: str, spool: int, *, budget_s: float) -> int:
        """The highest sequence of that spool that was ever stored; 0: none."""

    def position(self, *, budget_s: float) -> int: ...

    def alerts(self, chosen: Filter, page: Page, *, budget_s: float) -> list[StoredAlert]: ...

    def since(
        self, after: int, until: int, chosen: Filter, limit: int, *, budget_s: float
    ) -> list[StoredAlert]:
        """In the order of their positions: above `after`, up to and with `until`."""

    def alert(self, alert_id: str, *, budget_s: float) -> StoredAlert | None: ...

    def hosts(self, after: str, limit: int, *, budget_s: float) -> list[Host]:
        """By agent, behind `after`; `connected` is not the store's to know."""

    def stats(
        self, chosen: Filter, by: Sequence[int], limit: int, *, budget_s: float
    ) -> list[StatsRow]:
        """`by`: one or two of `query_pb2.Dimension`; most frequent first."""

    def usage(self, *, budget_s: float) -> Usage: ...

    def close(self) -> None: ...


def engines() -> list[str]:
    """The stores that this package has."""
    modules = pkgutil.iter_modules(__path__)
    return sorted(module.name for module in modules if not module.name.startswith("_"))


def check_engine(engine: str) -> None:
    if engine not in engines():
        raise StoreError(f"store.engine: there is no {engine!r}; known: {', '.join(engines())}")


def open_store(engine: str, path: Path, limit_bytes: int) -> Store:
    check_engine(engine)
    module = importlib.import_module(f"{__name__}.{engine}")
    store: Store = module.open_store(path, limit_bytes)
    return store
