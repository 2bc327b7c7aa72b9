"""Group commit: many streams share one write, and none pays for another's failure."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any

import fleet
import pytest

from sockwarden.collector.async_store import AsyncStore
from sockwarden.collector.errors import StoreError, StoreFull
from sockwarden.collector.store import Delivery, Sighting, Written


class ScriptedStore:
    """Counts writes; fails those that contain a poisoned agent, or any alert when full."""

    def __init__(self) -> None:
        self.writes: list[int] = []
        self.kept: list[str] = []
        self.poisoned: set[str] = set()
        self.full = False
        self.refusals = 0
        self.gate = threading.Event()
        self.gate.set()

    def write(self, deliveries: Sequence[Delivery], sightings: Sequence[Sighting]) -> Written:
        assert self.gate.wait(fleet.PATIENCE_S)
        if self.full and deliveries:
            self.refusals += 1
            raise StoreFull("full")
        names = [one.agent for one in (*deliveries, *sightings)]
        if self.poisoned.intersection(names):
            raise ValueError("poison")
        self.writes.append(len(names))
        self.kept += names
        return Written(position=len(self.kept), stored=len(deliveries), repeated=0)

    def cursor(self, agent: str, spool: int, *, budget_s: float) -> int:
        return 5

    def expire(self, before_ns: int, limit: int) -> int:
        assert self.gate.wait(fleet.PATIENCE_S)
        return 0

    def close(self) -> None:
        pass


@contextlib.asynccontextmanager
async def running(store: Any) -> AsyncIterator[AsyncStore]:
    wrapped = AsyncStore(store, 0)
    run = asyncio.create_task(wrapped.run())
    try:
        yield wrapped
    finally:
        store.gate.set()
        await wrapped.close(run)


def delivery(agent: str) -> Delivery:
    return Delivery(agent, 7, [fleet.make_alert(1, agent)])


async def test_what_waits_for_a_commit_goes_with_the_next_one() -> None:
    store = ScriptedStore()
    store.gate.clear()
    async with running(store) as wrapped:
        tasks = [asyncio.create_task(wrapped.deliver(delivery(f"a{n}"))) for n in range(50)]
        await asyncio.sleep(0)  # all have submitted; the first group is under way
        store.gate.set()
        await asyncio.gather(*tasks)
    assert len(store.writes) <= 2
    assert sum(store.writes) == 50


async def test_one_agents_poison_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    store = ScriptedStore()
    store.poisoned = {"bad"}
    async with running(store) as wrapped:
        names = ["good", "bad", "better"]
        results = await asyncio.gather(
            *(wrapped.deliver(delivery(name)) for name in names), return_exceptions=True
        )
        assert results[0] is results[2] is None
        assert isinstance(results[1], StoreError)
        await wrapped.deliver(delivery("later"))
    assert store.kept == ["good", "better", "later"]
    assert wrapped.totals.refused == 1
    assert "poison" in caplog.text


async def test_full_store_still_hears_signs_of_life(caplog: pytest.LogCaptureFixture) -> None:
    store = ScriptedStore()
    store.full = True
    async with running(store) as wrapped:
        for _ in range(2):
            refused, heard = await asyncio.gather(
                wrapped.deliver(delivery("a")),
                wrapped.see(Sighting("b", fleet.START_NS)),
                return_exceptions=True,
            )
            assert isinstance(refused, StoreFull)
            assert heard is None
        assert caplog.text.count("refusing new alerts") == 1
        store.refusals = 0
        tasks = [wrapped.deliver(delivery(f"a{number}")) for number in range(50)]
        await asyncio.gather(*tasks, return_exceptions=True)
        assert store.refusals <= 4  # not once for each of them
        store.full = False
        await wrapped.deliver(delivery("a"))
        assert "there is room again" in caplog.text
    assert store.kept == ["b", "b", "a"]


async def test_close_writes_what_waits_and_refuses_what_is_new() -> None:
    store = ScriptedStore()
    store.gate.clear()
    async with running(store) as wrapped:
        waiting = asyncio.create_task(wrapped.deliver(delivery("a")))
        await asyncio.sleep(0)
    await waiting
    assert store.kept == ["a"]
    with pytest.raises(StoreError, match="stopping"):
        await wrapped.deliver(delivery("b"))


async def test_progress_wakes_those_who_wait_behind_it() -> None:
    async with running(ScriptedStore()) as wrapped:
        waiting = asyncio.create_task(wrapped.progress.beyond(1))
        await wrapped.deliver(delivery("a"))
        assert not waiting.done()
        await wrapped.deliver(delivery("a"))
        async with asyncio.timeout(fleet.PATIENCE_S):
            await waiting
        assert wrapped.progress.position == 2


async def test_turn_waits_for_the_writer() -> None:
    """What the watchdog rests on: a writer that hangs is not called alive."""
    store = ScriptedStore()
    async with running(store) as wrapped:
        await wrapped.turn()
        for hangs in (wrapped.deliver(delivery("a")), wrapped.expire(0, 1)):
            store.gate.clear()
            hanging = asyncio.create_task(hangs)
            await asyncio.sleep(0)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await wrapped.turn()
            store.gate.set()
            await hanging
            await wrapped.turn()


async def test_slow_queries_do_not_keep_agents_from_connecting() -> None:
    slow = threading.Event()
    async with running(ScriptedStore()) as wrapped:
        queries = [
            asyncio.create_task(wrapped.read(lambda _store: slow.wait(fleet.PATIENCE_S)))
            for _ in range(20)
        ]
        await asyncio.sleep(0)
        async with asyncio.timeout(fleet.PATIENCE_S / 2):
            assert await wrapped.cursor("a", 7) == 5
        slow.set()
        await asyncio.gather(*queries)
