"""A full store keeps what it has, refuses what is new, and still hears the hosts."""

import time
from pathlib import Path

import fleet
import grpc
import msgspec
import pytest

from sockwarden.collector import retention
from sockwarden.collector.config import Config
from sockwarden.proto.v1.query_pb2 import ListAlertsRequest, ListHostsRequest


def small(folder: Path) -> Config:
    settings = fleet.config(folder)
    store = msgspec.structs.replace(settings.store, limit_bytes=1 << 20)
    return msgspec.structs.replace(settings, store=store)


async def fill(settings: Config) -> int:
    """Delivers until the collector refuses; the last sequence that it acknowledged."""
    acknowledged = 0
    async with fleet.agent(settings) as agent:
        await agent.hello()
        while acknowledged < 20_000:
            batch = map(fleet.make_alert, range(acknowledged + 1, acknowledged + 101))
            try:
                acknowledged = await agent.deliver(*batch)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                    return acknowledged
                raise
    pytest.fail("the store never got full")


async def test_full_store_refuses_new_alerts_and_keeps_the_oldest(tmp_path: Path) -> None:
    settings = small(tmp_path)
    async with fleet.serving(settings) as collector, fleet.querying(settings) as stub:
        acknowledged = await fill(settings)
        assert acknowledged >= 100
        assert collector.store.totals.refused == 100
        request = ListAlertsRequest(oldest_first=True, page_size=1)
        (oldest,) = (await stub.ListAlerts(request)).alerts
        assert oldest.alert.sequence == 1
        async with fleet.agent(settings) as agent:
            assert (await agent.hello()).sequence == acknowledged
            await agent.beat(messages=77)

            async def beaten() -> bool:
                (host,) = (await stub.ListHosts(ListHostsRequest())).hosts
                return host.heartbeat.counters == {"messages": 77}

            await fleet.until(beaten, "a full store keeps heartbeats")
        assert (tmp_path / "alerts.db").stat().st_size <= 1 << 20


async def test_expired_alerts_make_room_and_do_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = small(tmp_path)
    async with fleet.serving(settings) as collector, fleet.querying(settings) as stub:
        acknowledged = await fill(settings)
        assert await retention.expire(collector.store, days=1) == 0
        now_ns = time.time_ns()
        monkeypatch.setattr(time, "time_ns", lambda: now_ns + 2 * 86_400 * 10**9)
        assert await retention.expire(collector.store, days=1) == acknowledged
        assert not (await stub.ListAlerts(ListAlertsRequest())).alerts
        (host,) = (await stub.ListHosts(ListHostsRequest())).hosts
        assert host.alerts == 0
        async with fleet.agent(settings) as agent:
            assert (await agent.hello()).sequence == acknowledged
            assert await agent.deliver(fleet.make_alert(1)) == 1
            assert await agent.deliver(fleet.make_alert(acknowledged + 1)) == acknowledged + 1
        (found,) = (await stub.ListAlerts(ListAlertsRequest())).alerts
        assert (found.alert.sequence, found.position) == (acknowledged + 1, acknowledged + 1)
