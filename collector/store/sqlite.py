"""The embedded store: one SQLite file, for fleets up to some tens of millions of alerts.

WAL with synchronous FULL: when `write` returns, the alerts survive a power cut.  One
connection writes; readers are a small pool and never wait for the writer.  An alert is
kept as its protobuf message, and the fields that queries look at as columns beside it
(evidence only there).
"""

import contextlib
import os
import queue
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sockwarden.collector.errors import QueryTimeout, StoreFull
from sockwarden.collector.store import Delivery, Filter, Page, Sighting, Usage, Written
from sockwarden.collector.store._sqlite_file import BUSY_S, errors, lock, open_reader, open_writer
from sockwarden.collector.store._sqlite_query import Condition, stats_key
from sockwarden.proto.v1.alert_pb2 import Alert
from sockwarden.proto.v1.ingest_pb2 import Heartbeat
from sockwarden.proto.v1.query_pb2 import Host, StatsRow, StoredAlert

# Four for queries, one for agents that connect, one for the numbers.
_READERS = 6
# Below the hard limit: room for heartbeats and retention when alerts are refused already.
_RESERVE_BYTES = 256 << 10
# Virtual machine instructions between two looks at the clock of a read: some 0.1 ms.
_CLOCK_INSTRUCTIONS = 10_000

_INSERT = """
    INSERT INTO alerts (spool, sequence, id, received_ns, time_ns, host, rule, level, category,
                        source, process, path, title, evidence, events, body)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (spool, sequence) DO NOTHING
"""
_STORED = "SELECT position, received_ns, evidence, body FROM alerts"


def source_of(client: str) -> str:
    """A client's address without its port: what alerts are searched and counted by."""
    if client.startswith("unix:"):
        return client
    host, colon, _port = client.rpartition(":")
    return (host if colon else client).removeprefix("[").removesuffix("]")


def _signed(fixed64: int) -> int:
    """SQLite's integers have a sign; a spool number uses all 64 bits."""
    return fixed64 - (1 << 64) if fixed64 >> 63 else fixed64


def open_store(path: Path, limit_bytes: int) -> "SqliteStore":
    return SqliteStore(path, limit_bytes)


class SqliteStore:
    def __init__(self, path: Path, limit_bytes: int) -> None:
        self._path = path
        self._limit_bytes = limit_bytes
        with contextlib.ExitStack() as undo:
            self._lock = lock(path)
            undo.callback(os.close, self._lock)
            with errors(path):
                self._writer = open_writer(path, limit_bytes)
                undo.callback(self._writer.close)
                (self._page_bytes,) = self._writer.execute("PRAGMA page_size").fetchone()
                self._readers: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
                for _ in range(_READERS):
                    reader = open_reader(path)
                    undo.callback(reader.close)
                    self._readers.put(reader)
            undo.pop_all()

    def close(self) -> None:
        """Without the WAL file that would tell of a crash."""
        for _ in range(_READERS):
            self._readers.get(timeout=BUSY_S).close()
        self._writer.close()
        os.close(self._lock)

    # Writing: one thread.

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with errors(self._path):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:  # some errors roll back by themselves
                    self._writer.execute("ROLLBACK")
                raise

    def write(self, deliveries: Sequence[Delivery], sightings: Sequence[Sighting]) -> Written:
        received_ns = time.time_ns()
        stored = 0
        with self._transaction():
            for sighting in sightings:
                self._see(sighting)
            if deliveries and self._used_bytes(self._writer) + _RESERVE_BYTES > self._limit_bytes:
                raise StoreFull(f"{self._path}: store.limit_bytes is reached")
            for delivery in deliveries:
                stored += self._insert(delivery, received_ns)
            position = _position(self._writer)
        offered = sum(len(delivery.alerts) for delivery in deliveries)
        return Written(position=position, stored=stored, repeated=offered - stored)

    def _see(self, sighting: Sighting) -> None:
        self._host(sighting.agent, sighting.time_ns)
        if (hello := sighting.hello) is not None:
            self._writer.execute(
                "UPDATE hosts SET hostname = ?, version = ?, kernel = ? WHERE agent = ?",
                (hello.hostname, hello.version, hello.kernel, sighting.agent),
            )
        if (heartbeat := sighting.heartbeat) is not None:
            self._writer.execute(
                "UPDATE hosts SET heartbeat = ? WHERE agent = ?",
                (heartbeat.SerializeToString(), sighting.agent),
            )

    def _host(self, agent: str, seen_ns: int) -> int:
        (host,) = self._writer.execute(
            """INSERT INTO hosts (agent, first_seen_ns, last_seen_ns) VALUES (?1, ?2, ?2)
               ON CONFLICT (agent) DO UPDATE SET last_seen_ns = max(last_seen_ns, ?2)
               RETURNING id""",
            (agent, seen_ns),
        ).fetchone()
        return int(host)

    def _insert(self, delivery: Delivery, received_ns: int) -> int:
        host = self._host(delivery.agent, received_ns)
        spool, cursor = self._writer.execute(
            """INSERT INTO spools (host, spool) VALUES (?, ?)
               ON CONFLICT (host, spool) DO UPDATE SET sequence = sequence
               RETURNING id, sequence""",
            (host, _signed(delivery.spool)),
        ).fetchone()
        fresh = [alert for alert in delivery.alerts if alert.sequence > cursor]
        if not fresh:
            return 0
        stored = self._writer.executemany(
            _INSERT, (_row(alert, spool, host, received_ns) for alert in fresh)
        ).rowcount
        self._writer.execute(
            "UPDATE spools SET sequence = ? WHERE id = ?", (fresh[-1].sequence, spool)
        )
        self._writer.execute("UPDATE hosts SET alerts = alerts + ? WHERE id = ?", (stored, host))
        return stored

    def expire(self, before_ns: int, limit: int) -> int:
        with self._transaction():
            (last,) = self._writer.execute(
                """SELECT max(position) FROM
                   (SELECT position, received_ns FROM alerts ORDER BY position LIMIT ?)
                   WHERE received_ns < ?""",
                (limit, before_ns),
            ).fetchone()
            if last is None:
                return 0
            gone = self._writer.execute(
                "SELECT count(*), host FROM alerts WHERE position <= ? GROUP BY host", (last,)
            ).fetchall()
            self._writer.execute("DELETE FROM alerts WHERE position <= ?", (last,))
            self._writer.executemany("UPDATE hosts SET alerts = alerts - ? WHERE id = ?", gone)
        return sum(int(count) for count, _host in gone)

    # Reading: any thread.

    @contextlib.contextmanager
    def _read(self, budget_s: float) -> Iterator[sqlite3.Connection]:
        deadline = time.monotonic() + budget_s
        try:
            reader = self._readers.get(timeout=budget_s)
        except queue.Empty:
            raise QueryTimeout("the collector is busy with other queries: try again") from None
        reader.set_progress_handler(lambda: time.monotonic() > deadline, _CLOCK_INSTRUCTIONS)
        try:
            with errors(self._path):
                yield reader
        finally:
            self._readers.put(reader)

    def cursor(self, agent: str, spool: int, *, budget_s: float) -> int:
        with self._read(budget_s) as reader:
            found = reader.execute(
                """SELECT sequence FROM spools WHERE spool = ?
                   AND host = (SELECT id FROM hosts WHERE agent = ?)""",
                (_signed(spool), agent),
            ).fetchone()
        return int(found[0]) if found else 0

    def position(self, *, budget_s: float) -> int:
        with self._read(budget_s) as reader:
            return _position(reader)

    def alerts(self, chosen: Filter, page: Page, *, budget_s: float) -> list[StoredAlert]:
        condition = Condition(chosen)
        if page.newest is not None:
            condition.add("position <= ?", page.newest)
        sign, order = (">", "ASC") if page.oldest_first else ("<", "DESC")
        if page.after is not None:
            condition.add(f"(time_ns, position) {sign} (?, ?)", *page.after)
        return self._stored(
            f"{_STORED} {condition.where} ORDER BY time_ns {order}, position {order} LIMIT ?",
            [*condition.values, page.size],
            budget_s,
        )

    def since(
        self, after: int, until: int, chosen: Filter, limit: int, *, budget_s: float
    ) -> list[StoredAlert]:
        condition = Condition(chosen)
        condition.add("position > ? AND position <= ?", after, until)
        # NOT INDEXED leaves the primary key: the few newest rows, not all rows of a rule.
        return self._stored(
            f"{_STORED} NOT INDEXED {condition.where} ORDER BY position LIMIT ?",
            [*condition.values, limit],
            budget_s,
        )

    def alert(self, alert_id: str, *, budget_s: float) -> StoredAlert | None:
        found = self._stored(
            f"{_STORED} WHERE id = ? ORDER BY position LIMIT 1", [alert_id], budget_s
        )
        return found[0] if found else None

    def _stored(self, sql: str, values: Sequence[Any], budget_s: float) -> list[StoredAlert]:
        with self._read(budget_s) as reader:
            rows = reader.execute(sql, values).fetchall()
        return [_stored_alert(*row) for row in rows]

    def hosts(self, after: str, limit: int, *, budget_s: float) -> list[Host]:
        with self._read(budget_s) as reader:
            rows = reader.execute(
                """SELECT agent, hostname, version, kernel, first_seen_ns, last_seen_ns,
                          alerts, heartbeat
                   FROM hosts WHERE agent > ? ORDER BY agent LIMIT ?""",
                (after, limit),
            ).fetchall()
        return [_host(row) for row in rows]

    def stats(
        self, chosen: Filter, by: Sequence[int], limit: int, *, budget_s: float
    ) -> list[StatsRow]:
        keys = [stats_key(dimension) for dimension in by]
        columns = ", ".join(f"{key.sql} AS key{number}" for number, key in enumerate(keys))
        names = ", ".join(f"key{number}" for number in range(len(keys)))
        condition = Condition(chosen)
        with self._read(budget_s) as reader:
            rows = reader.execute(
                f"""SELECT count(*) AS alerts, sum(events), {columns}
                    FROM alerts {condition.where}
                    GROUP BY {names} ORDER BY alerts DESC, {names} LIMIT ?""",  # noqa: S608
                [*condition.values, limit],
            ).fetchall()
            agents = dict(reader.execute("SELECT id, agent FROM hosts").fetchall())
        return [
            StatsRow(
                keys=[key.text(value, agents) for key, value in zip(keys, values, strict=True)],
                alerts=alerts,
                events=events,
            )
            for alerts, events, *values in rows
        ]

    def usage(self, *, budget_s: float) -> Usage:
        with self._read(budget_s) as reader:
            used_bytes = self._used_bytes(reader)
            (alerts,) = reader.execute("SELECT coalesce(sum(alerts), 0) FROM hosts").fetchone()
        return Usage(used_bytes=used_bytes, limit_bytes=self._limit_bytes, alerts=alerts)

    def _used_bytes(self, database: sqlite3.Connection) -> int:
        (pages,) = database.execute("PRAGMA page_count").fetchone()
        (free,) = database.execute("PRAGMA freelist_count").fetchone()
        return (int(pages) - int(free)) * int(self._page_bytes)


def _position(database: sqlite3.Connection) -> int:
    # Not max(position): that would go back when the newest alerts expire.
    found = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'alerts'").fetchone()
    return int(found[0]) if found else 0


def _row(alert: Alert, spool: int, host: int, received_ns: int) -> tuple[Any, ...]:
    evidence = alert.evidence
    alert.ClearField("evidence")
    body = alert.SerializeToString()
    alert.evidence = evidence
    rule, connection = alert.rule, alert.connection
    return (
        spool,
        alert.sequence,
        alert.id,
        received_ns,
        alert.time.ToNanoseconds(),
        host,
        rule.id,
        rule.level,
        rule.category,
        source_of(connection.client),
        alert.process.exe,
        connection.path,
        rule.title,
        evidence,
        alert.count,
        body,
    )


def _stored_alert(position: int, received_ns: int, evidence: str, body: bytes) -> StoredAlert:
    stored = StoredAlert(position=position)
    stored.alert.ParseFromString(body)
    stored.alert.evidence = evidence
    stored.received.FromNanoseconds(received_ns)
    return stored


def _host(row: tuple[Any, ...]) -> Host:
    agent, hostname, version, kernel, first_seen_ns, last_seen_ns, alerts, heartbeat = row
    host = Host(agent=agent, hostname=hostname, version=version, kernel=kernel, alerts=alerts)
    host.first_seen.FromNanoseconds(first_seen_ns)
    host.last_seen.FromNanoseconds(last_seen_ns)
    if heartbeat is not None:
        host.heartbeat.CopyFrom(Heartbeat.FromString(heartbeat))
    return host
