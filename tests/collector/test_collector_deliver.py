"""Delivery: durable before it is acknowledged, in the store exactly once."""

import asyncio
import signal
from pathlib import Path

import fleet
import grpc
import pytest

from sockwarden.collector.server import Collector
from sockwarden.proto.v1.query_pb2 import ListAlertsRequest, ListHostsRequest


async def stored_sequences(settings: fleet.Config, agent: str = "web-1") -> list[int]:
    async with fleet.querying(settings) as stub:
        request = ListAlertsRequest(filter={"agents": [agent]}, page_size=1_000, oldest_first=True)
        return [found.alert.sequence for found in (await stub.ListAlerts(request)).alerts]


async def test_acknowledged_alerts_are_stored_and_welcome_tells_the_cursor(tmp_path: Path) -> None:
    settings = fleet.config(tmp_path)
    async with fleet.serving(settings):
        async with fleet.agent(settings) as agent:
            welcome = await agent.hello()
            assert (welcome.sequence, welcome.batch_limit) == (0, 500)
            assert welcome.window >= 1
            assert await agent.deliver(fleet.make_alert(1), fleet.make_alert(2)) == 2
            assert await agent.deliver(fleet.make_alert(5)) == 5
        async with fleet.agent(settings) as agent:
            assert (await agent.hello()).sequence == 5
        async with fleet.agent(settings, spool=8) as agent:
            assert (await agent.hello()).sequence == 0
        assert await stored_sequences(settings) == [1, 2, 5]


async def test_alert_comes_back_as_it_was_sent(tmp_path: Path) -> None:
    settings = fleet.config(tmp_path)
    sent = fleet.make_alert(1, spool=(1 << 64) - 1, evidence="é\x00%_", connection__path="/é")
    async with fleet.serving(settings), fleet.agent(settings, spool=(1 << 64) - 1) as agent:
        await agent.hello()
        await agent.deliver(sent)
        async with fleet.querying(settings) as stub:
            (found,) = (await stub.ListAlerts(ListAlertsRequest())).alerts
    assert found.alert == sent
    assert found.position == 1


async def test_resent_alerts_add_nothing(tmp_path: Path) -> None:
    settings = fleet.config(tmp_path)
    async with fleet.serving(settings):
        for _ in range(3):
            async with fleet.agent(settings) as agent:
                await agent.hello()
                assert await agent.deliver(*map(fleet.make_alert, range(1, 21))) == 20
        async with fleet.agent(settings) as agent:
            await agent.hello()
            assert await agent.deliver(*map(fleet.make_alert, range(15, 25))) == 24
        assert await stored_sequences(settings) == list(range(1, 25))
        async with fleet.querying(settings) as stub:
            (host,) = (await stub.ListHosts(ListHostsRequest())).hosts
        assert host.alerts == 24


async def test_nothing_lost_nothing_doubled_over_kills_in_the_middle_of_commits(
    tmp_path: Path,
) -> None:
    """Agents resend what was not acknowledged; the collector dies at any moment."""
    settings = fleet.config(tmp_path)
    names = [f"host-{number}" for number in range(4)]
    total, kills = 3_000, 4

    async def run_agent(name: str) -> None:
        acknowledged = 0
        while acknowledged < total:
            try:
                async with fleet.agent(settings, name) as agent:
                    acknowledged = (await agent.hello()).sequence
                    while acknowledged < total:
                        batch = range(acknowledged + 1, min(total, acknowledged + 50) + 1)
                        acknowledged = await agent.deliver(
                            *(fleet.make_alert(sequence, name) for sequence in batch)
                        )
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await asyncio.sleep(0.05)

    with fleet.process(settings, tmp_path) as collector:
        agents = [asyncio.create_task(run_agent(name)) for name in names]
        for _ in range(kills):
            await asyncio.sleep(0.15)
            await asyncio.to_thread(collector.end, signal.SIGKILL)
            await asyncio.to_thread(collector.start)
        async with asyncio.timeout(fleet.PATIENCE_S):
            await asyncio.gather(*agents)
        async with fleet.querying(settings) as stub:
            for name in names:
                seen = []
                request = ListAlertsRequest(
                    filter={"agents": [name]}, page_size=1_000, oldest_first=True
                )
                while True:
                    page = await stub.ListAlerts(request)
                    seen += [found.alert.sequence for found in page.alerts]
                    request.page_token = page.next_page_token
                    if not page.next_page_token:
                        break
                assert seen == list(range(1, total + 1))
        assert collector.end() == 0
    assert not (tmp_path / "alerts.db-wal").exists()


async def test_hosts_tell_what_hello_and_heartbeat_said(tmp_path: Path) -> None:
    settings = fleet.config(tmp_path)
    async with fleet.serving(settings), fleet.querying(settings) as stub:

        async def host() -> object:
            return (await stub.ListHosts(ListHostsRequest())).hosts[0]

        async with fleet.agent(settings) as agent:
            await agent.hello()
            await agent.beat(messages=5, **{"lost.ring_full": 2})

            async def beaten() -> bool:
                return (await host()).heartbeat.counters == {"messages": 5, "lost.ring_full": 2}

            await fleet.until(beaten, "the heartbeat is kept")
            found = await host()
            assert (found.agent, found.version, found.connected) == ("web-1", "0.1.0", True)

        async def gone() -> bool:
            return not (await host()).connected

        await fleet.until(gone, "the host is away")


async def test_newest_stream_of_an_agent_wins(tmp_path: Path) -> None:
    settings = fleet.config(tmp_path)
    async with fleet.serving(settings), fleet.agent(settings) as old, fleet.agent(settings) as new:
        await old.hello()
        await new.hello()
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await old.answer()
        assert ended.value.code() is grpc.StatusCode.ABORTED
        assert await new.deliver(fleet.make_alert(1)) == 1


async def test_stop_tells_streams_and_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    settings = fleet.config(tmp_path)
    collector = await Collector.start(settings)
    async with fleet.agent(settings) as agent:
        await agent.hello()
        await agent.deliver(fleet.make_alert(1))
        stopping = asyncio.create_task(collector.stop())
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await agent.answer()
        await stopping
    assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "stopping" in str(ended.value.details())
    async with fleet.serving(settings):
        assert await stored_sequences(settings) == [1]
