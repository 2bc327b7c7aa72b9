"""The spool: alerts wait here, durable, until a collector has made them durable itself.

What it promises
----------------
* An alert is offered to the uplink only after fsync returned for it, and its bytes are freed
  only after `ack`.  In between, a crash of the agent or of the host loses nothing.
* A sequence number stands for one alert for ever.  Together with the spool's number, drawn
  at its creation, it is what makes a resent alert recognisable.
* It is bounded in bytes.  When it fills, low levels are refused first, each refusal is counted
  by level, and what is already there, the oldest, is kept.
* `append` never waits for the disk's fsync and never raises for a full or failing disk.

What it refuses: a second user of the directory, and a directory of something else.

The form of its files is `agent/segment.py`'s.

Writing
-------
One thread appends.  A record goes to the page cache at once; a committing thread then calls
fsync for everything that arrived since it last did (group commit) and moves the durable mark.
Records that are not yet durable are kept in memory too: after a failed fsync the kernel may
have dropped the dirty pages (and calls them clean), so they are written again at their
places before fsync is tried again.

Reading and freeing
-------------------
One other thread reads behind its own position up to the durable mark; one, the same or a
third, acknowledges.  A sealed segment is deleted when its last sequence is acknowledged.
The cursor is written without fsync: a lost cursor only means that some are sent again.

Recovery
--------
Only the last segment can end in the middle of a record.  Bytes behind its last whole record
are cut off and said; as they may have been records that were sent, as many numbers as
could have stood there are skipped.  Damage in the middle of a segment is stepped over to the
next marker whose record has a right CRC; the numbers missing are counted as corrupt.
"""

import errno
import fcntl
import logging
import os
import secrets
import threading
import time
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from sockwarden.agent import segment as form
from sockwarden.agent.alert import Alert, Level
from sockwarden.agent.identity import alert_id
from sockwarden.daemon.journal import Event, say

# What may be appended and not yet durable: a disk that hangs must not eat the memory.
MAX_PENDING_BYTES = 8 << 20
_RETRY_S = 1.0

# The share of the limit, in hundredths, up to which a level is taken.
_SHARES = {
    Level.INFORMATIONAL: 90,
    Level.LOW: 90,
    Level.MEDIUM: 95,
    Level.HIGH: 100,
    Level.CRITICAL: 100,
}

_log = logging.getLogger(__name__)


class SpoolError(Exception):
    """The directory cannot be used as a spool; the text names it and what to do."""


class Limits(Protocol):
    """`agent.config.Spool` is one."""

    @property
    def limit_bytes(self) -> int: ...
    @property
    def segment_bytes(self) -> int: ...


class Part(NamedTuple):
    """What `Spool.read` found, and the sequence up to which there is nothing else."""

    alerts: list[Alert]
    last: int


class _Segment:
    def __init__(self, path: Path, first: int, size: int) -> None:
        self.path = path
        self.first = first
        self.size = size
        # How far it is safe to read: what fsync has confirmed.
        self.durable_size = size


class _Pending(NamedTuple):
    segment: _Segment
    file: int
    offset: int
    sequence: int
    record: bytes


class Spool:
    """See the module.  One thread appends, one other reads and acknowledges."""

    def __init__(self, directory: str | os.PathLike[str], limits: Limits) -> None:
        self._directory = Path(directory)
        self._limit_bytes = limits.limit_bytes
        self._segment_bytes = limits.segment_bytes
        self._changed = threading.Condition()
        self._pending: list[_Pending] = []
        self._pending_bytes = 0
        self._created = True
        self._closing = False
        self._full: set[Level] = set()
        self._failing = False
        self._counters = {f"spool_refused.{level}": 0 for level in Level} | {
            "spool_appended": 0,
            "spool_failed.write": 0,
            "spool_failed.sync": 0,
            "spool_failed.too_large": 0,
            "spool_failed.pending": 0,
            "spool_failed.closed": 0,
            "spool_corrupt": 0,
            "spool_torn_bytes": 0,
        }
        self._size_bytes = 0
        self._number = 0
        self._next = 1
        self._durable = 0
        self._acknowledged = 0
        self._file = -1
        self._position: tuple[_Segment, int, int] | None = None
        # Where damage was met and counted: a segment may be read again.
        self._damages: set[tuple[int, int]] = set()
        self._lock = self._acquire()
        try:
            self._recover()
        except OSError as error:
            os.close(self._lock)
            raise SpoolError(f"{error.filename or directory}: {error.strerror}") from None
        except SpoolError:
            os.close(self._lock)
            raise
        self._committer = threading.Thread(target=self._commit, name="spool", daemon=True)
        self._committer.start()

    # What others see.

    @property
    def number(self) -> int:
        """The spool's own number; a new spool draws a new one."""
        return self._number

    @property
    def last_sequence(self) -> int:
        """The highest sequence given away."""
        return self._next - 1

    @property
    def durable_sequence(self) -> int:
        return self._durable

    @property
    def pending(self) -> bool:
        """Whether something that was appended is not durable yet."""
        return bool(self._pending)

    @property
    def acknowledged_sequence(self) -> int:
        return self._acknowledged

    @property
    def depth(self) -> int:
        """Alerts that wait, give or take the numbers that recovery skipped."""
        return max(0, self._next - 1 - self._acknowledged)

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    @property
    def counters(self) -> dict[str, int]:
        return dict(self._counters)

    # The writer.

    def append(self, alert: Alert) -> Alert | None:
        """Takes the alert and returns it with its `id` and `sequence`; None: refused, counted."""
        with self._changed:
            sequence = self._next
            named = msgspec.structs.replace(
                alert,
                sequence=sequence,
                id=alert_id(alert.agent or "", self._number, sequence, time.time_ns()),
            )
            record = form.encode(sequence, named)
            if not self._admits(alert.level, len(record)):
                return None
            try:
                pending = self._write(sequence, record)
            except OSError as error:
                self._counters["spool_failed.write"] += 1
                self._fails("cannot write", error)
                return None
            self._pending.append(pending)
            self._pending_bytes += len(record)
            self._next += 1
            self._counters["spool_appended"] += 1
            self._changed.notify_all()
            return named

    def skip_to(self, sequence: int) -> None:
        """Gives no number up to `sequence` any more: the collector holds an alert under it."""
        with self._changed:
            self._next = max(self._next, sequence + 1)

    def _admits(self, level: Level, size: int) -> bool:
        if self._closing:
            self._counters["spool_failed.closed"] += 1
            return False
        if size > form.MAX_RECORD_BYTES:
            self._counters["spool_failed.too_large"] += 1
            return False
        if self._pending_bytes + size > MAX_PENDING_BYTES:
            self._counters["spool_failed.pending"] += 1
            return False
        used = self._size_bytes + size + form.HEAD_BYTES
        if used * 100 <= self._limit_bytes * _SHARES[level]:
            self._full.discard(level)
            return True
        self._counters[f"spool_refused.{level}"] += 1
        if level not in self._full:
            self._full.add(level)
            say(
                _log,
                logging.WARNING,
                f"{self._directory}: {_SHARES[level]} % full: alerts of level {level} are refused "
                "until a collector takes some",
                Event.SPOOL_FULL,
                LEVEL=level,
                SPOOL_BYTES=used,
            )
        return False

    def _write(self, sequence: int, record: bytes) -> _Pending:
        segment = self._segments[-1]
        if segment.size + len(record) > self._segment_bytes and segment.size > form.HEAD_BYTES:
            old = self._file
            segment, self._file = self._create(sequence)
            self._segments.append(segment)
            if not any(pending.file == old for pending in self._pending):
                os.close(old)
        offset = segment.size
        try:
            _write_at(self._file, record, offset)
        except OSError:
            # No half of a record in front of the next one.
            os.ftruncate(self._file, offset)
            raise
        segment.size += len(record)
        self._size_bytes += len(record)
        return _Pending(segment, self._file, offset, sequence, record)

    def _create(self, first: int) -> tuple[_Segment, int]:
        path = self._directory / f"{first:020}.seg"
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write_at(file, form.head(form.SEGMENT_MAGIC, self._number, first), 0)
        except OSError:
            os.close(file)
            path.unlink()
            raise
        self._created = True
        self._size_bytes += form.HEAD_BYTES
        return _Segment(path, first, form.HEAD_BYTES), file

    # The committing thread.

    def _commit(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._closing)
                if not self._pending:
                    return
                batch = self._pending[:]
                created, self._created = self._created, False
            try:
                self._synchronise(batch, created)
            except OSError as error:
                with self._changed:
                    self._created |= created
                    self._counters["spool_failed.sync"] += 1
                    self._fails("cannot make alerts durable, trying again", error)
                    if self._changed.wait_for(lambda: self._closing, _RETRY_S):
                        return
                self._rewrite(batch)
            else:
                self._confirm(batch)

    def _synchronise(self, batch: list[_Pending], created: bool) -> None:
        for file in {pending.file for pending in batch}:
            os.fdatasync(file)
        if created:
            _synchronise_directory(self._directory)

    def _rewrite(self, batch: list[_Pending]) -> None:
        for pending in batch:
            try:
                _write_at(pending.file, pending.record, pending.offset)
            except OSError:
                return

    def _confirm(self, batch: list[_Pending]) -> None:
        with self._changed:
            del self._pending[: len(batch)]
            self._pending_bytes -= sum(len(pending.record) for pending in batch)
            for pending in batch:
                pending.segment.durable_size = pending.offset + len(pending.record)
            self._durable = batch[-1].sequence
            used = {pending.file for pending in self._pending} | {self._file}
            for file in {pending.file for pending in batch} - used:
                os.close(file)
            if self._failing:
                self._failing = False
                say(_log, logging.INFO, f"{self._directory}: writes again")
            self._changed.notify_all()

    def _fails(self, what: str, error: OSError) -> None:
        """Says the first of a row of failures; the counters have them all."""
        if not self._failing:
            self._failing = True
            hint = ": free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
            say(
                _log,
                logging.ERROR,
                f"{self._directory}: {what}: {error.strerror}{hint}",
                Event.SPOOL_FAILED,
                ERRNO=error.errno,
            )

    # The reader.

    def wait(self, after: int, timeout_s: float) -> bool:
        """Waits until there is something durable behind `after`; False: not in that time."""
        with self._changed:
            self._changed.wait_for(lambda: self._durable > after or self._closing, timeout_s)
            return self._durable > after

    def read(self, after: int, count: int) -> Part:
        """Up to `count` durable alerts behind sequence `after`, in order; never waits."""
        alerts: list[Alert] = []
        with self._changed:
            durable = self._durable
            segments = [(segment, segment.durable_size) for segment in self._segments]
        for found in self._records(segments, after):
            try:
                alerts.append(form.decode(found.body))
            except form.NotAnAlertError:
                self._counters["spool_corrupt"] += 1
            if len(alerts) == count:
                return Part(alerts, found.sequence)
        return Part(alerts, max(after, durable))

    def _records(self, segments: list[tuple[_Segment, int]], after: int) -> Iterator[form.Record]:
        """The records behind `after`; remembers its place for the next call."""
        following = [segment.first for segment, _ in segments[1:]]
        for (segment, size), end in zip_longest(segments, following):
            if end is not None and end <= after + 1:
                continue
            offset, last = form.HEAD_BYTES, segment.first - 1
            if self._position and self._position[0] is segment and self._position[2] <= after:
                _, offset, last = self._position
            for found in form.scan(segment.path, offset, size):
                if found.sequence <= last:
                    continue
                if found.start != offset:
                    self._note_damage(segment, offset, found.sequence - last - 1)
                offset, last = found.end, found.sequence
                self._position = (segment, offset, last)
                if found.sequence > after:
                    yield found
            if offset < size and end is not None:
                self._note_damage(segment, offset, end - last - 1)

    def _note_damage(self, segment: _Segment, offset: int, missing: int) -> None:
        with self._changed:
            if (segment.first, offset) in self._damages:
                return
            self._damages.add((segment.first, offset))
            self._counters["spool_corrupt"] += max(1, missing)
        say(
            _log,
            logging.ERROR,
            f"{segment.path}: damaged at byte {offset}: {max(1, missing)} alerts lost; "
            "check the disk",
            Event.SPOOL_RECOVERED,
        )

    def ack(self, sequence: int) -> None:
        """Frees all alerts up to and with `sequence`; more than is durable frees what is."""
        with self._changed:
            sequence = min(sequence, self._durable)
            if sequence <= self._acknowledged:
                return
            self._acknowledged = sequence
            freed = []
            while len(self._segments) > 1 and self._segments[1].first <= sequence + 1:
                freed.append(self._segments.pop(0))
                self._size_bytes -= freed[-1].size
            kept = self._segments[0].first
            self._damages = {place for place in self._damages if place[0] >= kept}
        try:
            self._write_cursor()
            for segment in freed:
                segment.path.unlink(missing_ok=True)
        except OSError as error:
            # Harmless for the alerts: they are sent again after a restart.
            say(
                _log,
                logging.WARNING,
                f"{self._directory}: cannot note what was delivered: {error.strerror}",
            )

    def _write_cursor(self) -> None:
        cursor = form.head(form.CURSOR_MAGIC, self._number, self._acknowledged)
        file = os.open(self._directory / "cursor", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _write_at(file, cursor, 0)
        finally:
            os.close(file)

    # Opening and closing.

    def close(self) -> None:
        """Makes durable what was appended, if the disk lets it, and gives the directory free."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify_all()
        self._committer.join()
        for file in {pending.file for pending in self._pending} | {self._file, self._lock}:
            os.close(file)

    def _acquire(self) -> int:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SpoolError(
                f"{self._directory}: cannot open the spool: {error.strerror}"
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise SpoolError(
                f"{self._directory}: in use by another agent; give each its own directory"
            ) from None
        return lock

    def _recover(self) -> None:
        cursor = form.read_head(self._directory / "cursor", form.CURSOR_MAGIC)
        self._segments = self._find_segments(cursor)
        self._acknowledged = cursor[1] if cursor and cursor[0] == self._number else 0
        durable = given = self._acknowledged
        if self._segments:
            self._acknowledged = max(self._acknowledged, self._segments[0].first - 1)
            last, torn_records = self._mend(self._segments[-1])
            durable = max(self._acknowledged, last)
            given = durable + torn_records
        self._size_bytes = sum(segment.size for segment in self._segments)
        self._durable = durable
        self._next = given + 1
        # A sealed segment never changes: writing always begins in a new one.  An empty one
        # may go, but not before its successor bears witness to the numbers given away.
        empty = [segment for segment in self._segments[-1:] if segment.size == form.HEAD_BYTES]
        segment, self._file = self._create(self._next)
        _synchronise_directory(self._directory)
        for old in empty:
            self._segments.remove(old)
            self._size_bytes -= old.size
            if old.path != segment.path:
                old.path.unlink()
        self._segments.append(segment)

    def _find_segments(self, cursor: tuple[int, int] | None) -> list[_Segment]:
        """Finds the segments and learns the spool's number from their headers."""
        segments = []
        numbers = set()
        for path in sorted(self._directory.glob("*.seg")):
            if not (path.stem.isdecimal() and len(path.stem) == 20):
                raise SpoolError(f"{path}: not a segment of a spool; move it away")
            head = form.read_head(path, form.SEGMENT_MAGIC)
            if head is not None:
                numbers.add(head[0])
            segments.append(_Segment(path, int(path.stem), path.stat().st_size))
        if len(numbers) > 1:
            raise SpoolError(
                f"{self._directory}: segments of different spools; move the older ones away"
            )
        if numbers:
            self._number = numbers.pop()
        else:
            self._number = cursor[0] if cursor else secrets.randbits(64) or 1
        return segments

    def _mend(self, segment: _Segment) -> tuple[int, int]:
        """Cuts a torn tail; returns the last sequence and how many more may have been given."""
        end, last = form.HEAD_BYTES, segment.first - 1
        for found in form.scan(segment.path, form.HEAD_BYTES, segment.size):
            end, last = found.end, max(last, found.sequence)
        torn_bytes = max(0, segment.size - end)
        segment.size = segment.durable_size = end
        if not torn_bytes:
            return last, 0
        os.truncate(segment.path, end)
        self._counters["spool_torn_bytes"] += torn_bytes
        say(
            _log,
            logging.WARNING,
            f"{segment.path}: cut {torn_bytes} bytes of an unfinished write",
            Event.SPOOL_RECOVERED,
            TORN_BYTES=torn_bytes,
        )
        return last, 1 + torn_bytes // form.RECORD_HEAD_BYTES


def _write_at(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written


def _synchronise_directory(directory: Path) -> None:
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
