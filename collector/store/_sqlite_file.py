"""The file of the embedded store: its lock, its schema and how it is opened.

Hosts and spools are rows that alerts point to, so that an alert's identity (agent, spool,
sequence) is two integers in the index that makes it unique.

A file that was not closed is checked before it is used: what SQLite cannot vouch for is
refused, never repaired by guessing.
"""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from sockwarden.collector.errors import QueryTimeout, StoreDamaged, StoreError, StoreFull

BUSY_S = 10.0
_CACHE_KIB = 64 << 10
_WAL_KEPT_BYTES = 64 << 20

# Applied in order; `user_version` counts those that a file has.
_MIGRATIONS = (
    """
    CREATE TABLE hosts (
        id INTEGER PRIMARY KEY,
        agent TEXT NOT NULL UNIQUE,
        hostname TEXT NOT NULL DEFAULT '',
        version TEXT NOT NULL DEFAULT '',
        kernel TEXT NOT NULL DEFAULT '',
        first_seen_ns INTEGER NOT NULL,
        last_seen_ns INTEGER NOT NULL,
        alerts INTEGER NOT NULL DEFAULT 0,
        heartbeat BLOB
    ) STRICT;
    CREATE TABLE spools (
        id INTEGER PRIMARY KEY,
        host INTEGER NOT NULL REFERENCES hosts (id),
        spool INTEGER NOT NULL,
        sequence INTEGER NOT NULL DEFAULT 0,
        UNIQUE (host, spool)
    ) STRICT;
    CREATE TABLE alerts (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        spool INTEGER NOT NULL REFERENCES spools (id),
        sequence INTEGER NOT NULL,
        id TEXT NOT NULL,
        received_ns INTEGER NOT NULL,
        time_ns INTEGER NOT NULL,
        host INTEGER NOT NULL REFERENCES hosts (id),
        rule TEXT NOT NULL,
        level INTEGER NOT NULL,
        category INTEGER NOT NULL,
        source TEXT NOT NULL,
        process TEXT NOT NULL,
        path TEXT NOT NULL,
        title TEXT NOT NULL,
        evidence TEXT NOT NULL,
        events INTEGER NOT NULL,
        body BLOB NOT NULL,
        UNIQUE (spool, sequence)
    ) STRICT;
    CREATE INDEX alerts_id ON alerts (id);
    CREATE INDEX alerts_time ON alerts (time_ns);
    CREATE INDEX alerts_host ON alerts (host, time_ns);
    CREATE INDEX alerts_rule ON alerts (rule, time_ns);
    CREATE INDEX alerts_source ON alerts (source, time_ns);
    """,
)


@contextlib.contextmanager
def errors(path: Path) -> Iterator[None]:
    """SQLite's errors as the collector's."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise StoreFull(f"{path}: the store or its disk is full") from error
        if code == sqlite3.SQLITE_INTERRUPT:
            raise QueryTimeout("the query took too long: narrow its time or its fields") from error
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise StoreDamaged(
                f"{path}: damaged ({error}): move it away or restore a backup"
            ) from error
        raise StoreError(f"{path}: {error}") from error


def lock(path: Path) -> int:
    """Two collectors on one file would each tail only half of what comes in."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(
            path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600
        )
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StoreError(f"{path}: another collector uses it") from error
    return descriptor


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def open_reader(path: Path) -> sqlite3.Connection:
    database = _connect(path)
    database.execute("PRAGMA query_only = ON")
    return database


def open_writer(path: Path, limit_bytes: int) -> sqlite3.Connection:
    """Checks the file after a crash and brings its schema up to date."""
    unclean = _size(path.with_name(path.name + "-wal")) > 0
    writer = _connect(path)
    try:
        if unclean:
            _check(path, writer)
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("PRAGMA synchronous = FULL")
        writer.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT_BYTES}")
        (page_bytes,) = writer.execute("PRAGMA page_size").fetchone()
        writer.execute(f"PRAGMA max_page_count = {limit_bytes // page_bytes}")
        _migrate(path, writer)
    except BaseException:
        writer.close()
        raise
    return writer


def _connect(path: Path) -> sqlite3.Connection:
    # SQLite gives the mode of this file to those that it makes beside it.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    database = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    except BaseException:
        database.close()
        raise
    return database


def _check(path: Path, database: sqlite3.Connection) -> None:
    (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise StoreDamaged(f"{path}: damaged ({verdict}): move it away or restore a backup")


def _migrate(path: Path, writer: sqlite3.Connection) -> None:
    (version,) = writer.execute("PRAGMA user_version").fetchone()
    if version > len(_MIGRATIONS):
        raise StoreError(
            f"{path}: made by a newer sockwarden (schema {version}, "
            f"this one knows {len(_MIGRATIONS)}): install that version again"
        )
    for number, script in enumerate(_MIGRATIONS[version:], start=version + 1):
        writer.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT")
