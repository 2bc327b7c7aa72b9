"""What people's tools rely on: stable pages, a tail without gaps, and clear refusals."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import fleet
import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sockwarden.collector import page_token
from sockwarden.collector.config import Config
from sockwarden.collector.errors import InvalidInput
from sockwarden.collector.server import Collector
from sockwarden.proto.v1.query_pb2 import (
    AlertFilter,
    GetAlertRequest,
    GetStatsRequest,
    ListAlertsRequest,
    ListHostsRequest,
    StoredAlert,
    TailAlertsRequest,
)


@pytest_asyncio.fixture
async def settings(tmp_path: Path) -> AsyncIterator[Config]:
    chosen = fleet.config(tmp_path, tails=2)
    async with fleet.serving(chosen):
        yield chosen


@pytest_asyncio.fixture
async def stub(settings: Config) -> AsyncIterator[Any]:
    async with fleet.querying(settings) as query:
        yield query


async def deliver(settings: Config, sequences: range, **changes: Any) -> None:
    async with fleet.agent(settings) as agent:
        await agent.hello()
        await agent.deliver(*(fleet.make_alert(number, **changes) for number in sequences))


async def take(call: Any, count: int) -> list[StoredAlert]:
    async with asyncio.timeout(fleet.PATIENCE_S):
        return [(await call.read()).alert for _ in range(count)]


def sequences(alerts: Any) -> list[int]:
    return [found.alert.sequence for found in alerts]


@pytest.mark.parametrize("oldest_first", [False, True])
async def test_pages_show_what_was_there_at_the_first_one(
    settings: Config, stub: Any, oldest_first: bool
) -> None:
    await deliver(settings, range(1, 26))
    request = ListAlertsRequest(page_size=10, oldest_first=oldest_first)
    seen: list[int] = []
    while True:
        page = await stub.ListAlerts(request)
        seen += sequences(page.alerts)
        # Newer in the store, and between the others in time.
        first = 26 + len(seen)
        await deliver(settings, range(first, first + 5), time__nanos=12)
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    expected = list(range(1, 26))
    assert seen == (expected if oldest_first else expected[::-1])


async def test_page_token_is_of_one_query(settings: Config, stub: Any) -> None:
    await deliver(settings, range(1, 6))
    token = (await stub.ListAlerts(ListAlertsRequest(page_size=2))).next_page_token
    for changed in (
        ListAlertsRequest(page_token=token, oldest_first=True),
        ListAlertsRequest(page_token=token, filter=AlertFilter(text="x")),
        ListAlertsRequest(page_token=token[:-2]),
        ListAlertsRequest(page_token="é"),
        ListAlertsRequest(page_token="A" * 60),
    ):
        with pytest.raises(grpc.aio.AioRpcError, match="page_token: ") as refused:
            await stub.ListAlerts(changed)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_every_mangled_token_is_refused() -> None:
    query = page_token.digest(b"query")
    place = page_token.Place(query, (5, 6), 7)
    token = page_token.encode(place)
    assert page_token.decode(token, query, page_token.Place) == place
    for at in range(len(token)):
        mangled = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        with contextlib.suppress(InvalidInput):  # unused bits of the last character
            assert page_token.decode(mangled, query, page_token.Place) == place
            assert at == len(token) - 1
    with pytest.raises(InvalidInput):
        page_token.decode(token, query, page_token.HostPlace)


async def test_tail_shows_each_alert_once_in_order_and_resumes(settings: Config, stub: Any) -> None:
    await deliver(settings, range(1, 4))
    call = stub.TailAlerts(TailAlertsRequest())
    assert ("sockwarden-position", "3") in tuple(await call.initial_metadata())
    for start in (4, 5, 7):
        await deliver(settings, range(start, start + 2))
    shown = await take(call, 5)
    assert sequences(shown) == [4, 5, 6, 7, 8]
    call.cancel()
    resumed = stub.TailAlerts(TailAlertsRequest(after=shown[1].position))
    assert sequences(await take(resumed, 3)) == [6, 7, 8]
    await deliver(settings, range(9, 10))
    assert sequences(await take(resumed, 1)) == [9]
    resumed.cancel()


async def test_tail_under_load_misses_nothing(settings: Config, stub: Any) -> None:
    """More than one chunk is there before, and more comes while it is read."""
    await deliver(settings, range(1, 501))
    await deliver(settings, range(501, 901))
    call = stub.TailAlerts(TailAlertsRequest(after=0))

    async def more() -> None:
        async with fleet.agent(settings) as agent:
            await agent.hello()
            for start in range(901, 1501, 20):
                await agent.deliver(*map(fleet.make_alert, range(start, start + 20)))

    delivering = asyncio.create_task(more())
    assert sequences(await take(call, 1500)) == list(range(1, 1501))
    await delivering
    call.cancel()


async def test_tail_filters_without_losing_its_place(settings: Config, stub: Any) -> None:
    call = stub.TailAlerts(TailAlertsRequest(filter=AlertFilter(rules=["rare"])))
    await call.initial_metadata()
    await deliver(settings, range(1, 401))
    await deliver(settings, range(401, 402), rule__id="rare")
    await deliver(settings, range(402, 500))
    await deliver(settings, range(500, 501), rule__id="rare")
    assert sequences(await take(call, 2)) == [401, 500]
    call.cancel()


async def test_tail_beyond_the_newest_alert_is_refused(settings: Config, stub: Any) -> None:
    await deliver(settings, range(1, 3))
    with pytest.raises(grpc.aio.AioRpcError, match="beyond the newest alert") as refused:
        await stub.TailAlerts(TailAlertsRequest(after=3)).read()
    assert refused.value.code() is grpc.StatusCode.OUT_OF_RANGE


async def test_number_of_tails_is_bounded_and_freed(stub: Any) -> None:
    calls = [stub.TailAlerts(TailAlertsRequest()) for _ in range(2)]
    for call in calls:
        await call.initial_metadata()
    with pytest.raises(grpc.aio.AioRpcError, match=r"limits\.tails") as refused:
        await stub.TailAlerts(TailAlertsRequest()).read()
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    calls[0].cancel()

    async def free() -> bool:
        call = stub.TailAlerts(TailAlertsRequest())
        started = bool(tuple(await call.initial_metadata() or ()))
        call.cancel()
        return started

    await fleet.until(free, "a place for a tail")
    calls[1].cancel()


async def test_stop_ends_tails(tmp_path: Path) -> None:
    chosen = fleet.config(tmp_path)
    collector = await Collector.start(chosen)
    async with fleet.querying(chosen) as query:
        call = query.TailAlerts(TailAlertsRequest())
        await call.initial_metadata()
        stopping = asyncio.create_task(collector.stop())
        with pytest.raises(grpc.aio.AioRpcError, match="stopping") as ended:
            await call.read()
        await stopping
    assert ended.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_alert_by_id(settings: Config, stub: Any) -> None:
    await deliver(settings, range(1, 4))
    found = await stub.GetAlert(GetAlertRequest(id="web-1-7-2"))
    assert found.alert.alert == fleet.make_alert(2)
    with pytest.raises(grpc.aio.AioRpcError, match="there is no alert 'nothing'") as missing:
        await stub.GetAlert(GetAlertRequest(id="nothing"))
    assert missing.value.code() is grpc.StatusCode.NOT_FOUND


async def test_hosts_come_in_pages(settings: Config, stub: Any) -> None:
    names = [f"host-{number}" for number in range(5)]
    for name in names:
        async with fleet.agent(settings, name) as agent:
            await agent.hello()
    request = ListHostsRequest(page_size=2)
    seen = []
    while True:
        page = await stub.ListHosts(request)
        seen += [host.agent for host in page.hosts]
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert seen == names


@pytest.mark.parametrize(
    ("method", "request_", "text"),
    [
        ("ListAlerts", ListAlertsRequest(page_size=1001), "page_size: 1001 is more than 1000"),
        ("ListHosts", ListHostsRequest(page_size=1001), "page_size: "),
        ("GetAlert", GetAlertRequest(), "id: "),
        ("GetAlert", GetAlertRequest(id="x" * 65), "id: "),
        ("GetStats", GetStatsRequest(), "by: must name one or two dimensions"),
        ("GetStats", GetStatsRequest(by=[1, 2, 3]), "by: "),
        ("GetStats", GetStatsRequest(by=[0]), "by: there is no dimension 0"),
        ("GetStats", GetStatsRequest(by=[99]), "by: there is no dimension 99"),
        ("GetStats", GetStatsRequest(by=[1], limit=1001), "limit: "),
        (
            "ListAlerts",
            ListAlertsRequest(filter={"since": {"seconds": 5}, "until": {"seconds": 5}}),
            "filter.until: is not after filter.since",
        ),
        ("ListAlerts", ListAlertsRequest(filter={"since": {"seconds": -1}}), "filter.since: "),
        ("ListAlerts", ListAlertsRequest(filter={"minimum_level": 9}), "filter.minimum_level: "),
        ("ListAlerts", ListAlertsRequest(filter={"categories": [0]}), "filter.categories: "),
        ("ListAlerts", ListAlertsRequest(filter={"agents": [""]}), "filter.agents: an empty"),
        ("ListAlerts", ListAlertsRequest(filter={"rules": ["r"] * 101}), "filter.rules: 101"),
        ("ListAlerts", ListAlertsRequest(filter={"text": "x" * 513}), "filter.text: longer"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_name(
    stub: Any, method: str, request_: Any, text: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await getattr(stub, method)(request_)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (refused.value.details() or "").startswith(text)


async def test_each_address_has_its_own_service_and_health(settings: Config) -> None:
    for address, name, other in (
        (settings.listen.address, "IngestService", "QueryService"),
        (settings.listen.query, "QueryService", "IngestService"),
    ):
        async with grpc.aio.insecure_channel(address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            request = health_pb2.HealthCheckRequest(service=f"sockwarden.proto.v1.{name}")
            assert (await health.Check(request)).status == health_pb2.HealthCheckResponse.SERVING
            request.service = f"sockwarden.proto.v1.{other}"
            with pytest.raises(grpc.aio.AioRpcError, match="NOT_FOUND"):
                await health.Check(request)
    async with grpc.aio.insecure_channel(settings.listen.address) as channel:
        call = channel.unary_unary("/sockwarden.proto.v1.QueryService/ListHosts")
        with pytest.raises(grpc.aio.AioRpcError, match="UNIMPLEMENTED"):
            await call(b"")


async def test_sockets_are_for_owner_and_group(settings: Config) -> None:
    for address in (settings.listen.address, settings.listen.query):
        assert Path(address.removeprefix("unix:")).stat().st_mode & 0o777 == 0o660
