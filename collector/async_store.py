"""The store for the event loop: reads on a few threads, writes of all streams in groups.

What waits while one commit is on its way is written by the next one, so that one fsync
serves many agents.  A delivery's future is done when its alerts are durable.  Each stream
waits for its own before it reads on, so what waits is bounded by the number of streams.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from sockwarden.collector.errors import StoreError, StoreFull
from sockwarden.collector.store import Delivery, Sighting, Store
from sockwarden.daemon import journal

_log = logging.getLogger(__name__)

_GROUP_ALERTS = 10_000
_GROUP_JOBS = 1_000
_READ_THREADS = 4
_CURSOR_BUDGET_S = 10.0

T = TypeVar("T")


class Progress:
    """The position of the newest durable alert, and a way to wait for the next one."""

    def __init__(self, position: int) -> None:
        self.position = position
        self._changed = asyncio.Event()

    def advance(self, position: int) -> None:
        if position > self.position:
            self.position = position
            self._changed.set()
            self._changed = asyncio.Event()

    async def beyond(self, position: int) -> None:
        while self.position <= position:
            await self._changed.wait()


@dataclass(slots=True)
class Totals:
    """Since the collector started."""

    stored: int = 0
    repeated: int = 0
    refused: int = 0
    expired: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    done: asyncio.Future[None]
    delivery: Delivery | None = None
    sighting: Sighting | None = None

    def settle(self, error: StoreError | None) -> None:
        if self.done.done():  # its stream has gone
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)


@dataclass(slots=True)
class _Queue:
    jobs: deque[_Job] = field(default_factory=deque)
    filled: asyncio.Event = field(default_factory=asyncio.Event)
    closed: bool = False


class AsyncStore:
    """Starts with `run()`, ends with `close()`, which writes what waits."""

    def __init__(self, store: Store, position: int) -> None:
        self.progress = Progress(position)
        self.totals = Totals()
        self._store = store
        self._queue = _Queue()
        self._write_thread = ThreadPoolExecutor(1, "store-write")
        self._read_threads = ThreadPoolExecutor(_READ_THREADS, "store-read")
        # People's slow queries must not keep agents from connecting.
        self._cursor_thread = ThreadPoolExecutor(1, "store-cursor")
        self._full_said = False

    async def read(self, reading: Callable[[Store], T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._read_threads, reading, self._store)

    async def cursor(self, agent: str, spool: int) -> int:
        loop = asyncio.get_running_loop()
        reading = partial(self._store.cursor, agent, spool, budget_s=_CURSOR_BUDGET_S)
        return await loop.run_in_executor(self._cursor_thread, reading)

    async def deliver(self, delivery: Delivery) -> None:
        await self._submit(delivery=delivery)

    async def see(self, sighting: Sighting) -> None:
        await self._submit(sighting=sighting)

    async def turn(self) -> None:
        """Returns when what was submitted before is settled: the way to the disk is alive."""
        await self._submit()

    async def expire(self, before_ns: int, limit: int) -> int:
        loop = asyncio.get_running_loop()
        gone = await loop.run_in_executor(self._write_thread, self._store.expire, before_ns, limit)
        self.totals.expired += gone
        return gone

    async def _submit(
        self, *, delivery: Delivery | None = None, sighting: Sighting | None = None
    ) -> None:
        if self._queue.closed:
            raise StoreError("the collector is stopping")
        job = _Job(asyncio.get_running_loop().create_future(), delivery, sighting)
        self._queue.jobs.append(job)
        self._queue.filled.set()
        await job.done

    async def run(self) -> None:
        while True:
            await self._queue.filled.wait()
            group = self._next_group()
            if group:
                await self._settle(group)
            elif self._queue.closed:
                return
            else:
                self._queue.filled.clear()

    def _next_group(self) -> list[_Job]:
        group: list[_Job] = []
        alerts = 0
        waiting = self._queue.jobs
        while waiting and alerts < _GROUP_ALERTS and len(group) < _GROUP_JOBS:
            job = waiting.popleft()
            alerts += len(job.delivery.alerts) if job.delivery else 0
            group.append(job)
        return group

    async def _settle(self, group: Sequence[_Job]) -> None:
        """Writes a group; if that fails, its parts, so that no agent's harms another's."""
        try:
            await self._write(group)
        except StoreError as error:
            parts = self._parts(group, error)
            if len(parts) > 1:
                for part in parts:
                    await self._settle(part)
                return
            self._say(group, error)
            for job in group:
                job.settle(error)
        else:
            for job in group:
                job.settle(None)

    def _parts(self, group: Sequence[_Job], error: StoreError) -> list[Sequence[_Job]]:
        if not isinstance(error, StoreFull):
            return [[job] for job in group]
        # Alerts have no room; signs of life still do.
        deliveries = [job for job in group if job.delivery]
        others = [job for job in group if not job.delivery]
        return [part for part in (deliveries, others) if part]

    async def _write(self, group: Sequence[_Job]) -> None:
        deliveries = [job.delivery for job in group if job.delivery]
        sightings = [job.sighting for job in group if job.sighting]
        loop = asyncio.get_running_loop()
        if not deliveries and not sightings:
            await loop.run_in_executor(self._write_thread, _nothing)
            return
        try:
            written = await loop.run_in_executor(
                self._write_thread, self._store.write, deliveries, sightings
            )
        except StoreError:
            raise
        except Exception as error:
            _log.exception("a write failed in a way that is not the store's")
            raise StoreError(f"the alerts could not be written: {error}") from error
        self.totals.stored += written.stored
        self.totals.repeated += written.repeated
        if deliveries and self._full_said:
            self._full_said = False
            _log.warning("there is room again: new alerts are taken")
        self.progress.advance(written.position)

    def _say(self, group: Sequence[_Job], error: StoreError) -> None:
        refused = sum(len(job.delivery.alerts) for job in group if job.delivery)
        self.totals.refused += refused
        if not isinstance(error, StoreFull):
            _log.error("refused %d alerts: %s", refused, error)
        elif not self._full_said:
            self._full_said = True
            text = f"refusing new alerts, agents keep them: {error}"
            journal.say(_log, logging.ERROR, text, journal.Event.STORE_FULL)

    async def close(self, run: asyncio.Task[None]) -> None:
        self._queue.closed = True
        self._queue.filled.set()
        await run
        loop = asyncio.get_running_loop()
        for threads in (self._write_thread, self._read_threads, self._cursor_thread):
            await loop.run_in_executor(None, threads.shutdown)
        self._store.close()


def _nothing() -> None:
    """What a turn does in the thread that writes."""
