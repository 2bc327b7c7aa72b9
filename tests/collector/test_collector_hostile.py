"""A broken or hostile agent ends its own stream, with the field that was wrong, and no other."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import fleet
import grpc
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from sockwarden.collector import validate
from sockwarden.collector.config import Config
from sockwarden.collector.errors import InvalidInput
from sockwarden.daemon.config import Duration
from sockwarden.proto import limits
from sockwarden.proto.v1 import ingest_pb2
from sockwarden.proto.v1.alert_pb2 import Alert


@pytest_asyncio.fixture
async def settings(tmp_path: Path) -> AsyncIterator[Config]:
    chosen = fleet.config(tmp_path, hosts=2)
    async with fleet.serving(chosen):
        yield chosen


async def refused(settings: Config, *alerts: Alert) -> tuple[grpc.StatusCode, str]:
    """What a stream of web-1 ends with when it sends these."""
    async with fleet.agent(settings) as agent:
        await agent.hello()
        await agent.send(*alerts)
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await agent.answer()
    return ended.value.code(), ended.value.details() or ""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("id", "x" * 65),
        ("spool", 8),
        ("sequence", 0),
        ("sequence", 1 << 63),
        ("count", 0),
        ("direction", 3),
        ("opcode", 16),
        ("evidence", "x" * 513),
        ("evidence", "é" * 257),
        ("time__seconds", -1),
        ("time__seconds", 1 << 40),
        ("time__nanos", 10**9),
        ("rule__id", ""),
        ("rule__id", "x" * 129),
        ("rule__title", "x" * 257),
        ("rule__level", 0),
        ("rule__level", 6),
        ("rule__category", 0),
        ("rule__category", 7),
        ("connection__client", "x" * 256),
        ("connection__server", "x" * 256),
        ("connection__role", 3),
        ("connection__path", "x" * 16385),
        ("connection__origin", "x" * 16385),
        ("connection__subprotocol", "x" * 16385),
        ("connection__extensions", "x" * 16385),
        ("connection__tls", "x" * 65),
        ("process__exe", "x" * 4097),
        ("process__unit", "x" * 256),
        ("process__container", "x" * 256),
    ],
)
def test_each_field_has_its_limit_and_is_named(field: str, value: Any) -> None:
    batch = ingest_pb2.Batch(alerts=[fleet.make_alert(1), fleet.make_alert(2, **{field: value})])
    with pytest.raises(InvalidInput) as refusal:
        validate.delivery("web-1", 7, batch)
    name = field.replace("__", ".").removesuffix(".seconds").removesuffix(".nanos")
    assert refusal.value.field == f"batch.alerts[1].{name}"


def test_repeated_fields_have_limits() -> None:
    for name, values in (
        ("rule.tags", ["t"] * 33),
        ("rule.tags", ["t" * 65]),
        ("process.command_line", ["a"] * 65),
        ("process.command_line", ["a" * 4097]),
    ):
        alert = fleet.make_alert(1)
        message, field = name.split(".")
        getattr(getattr(alert, message), field)[:] = values
        with pytest.raises(InvalidInput, match=name):
            validate.delivery("web-1", 7, ingest_pb2.Batch(alerts=[alert]))


def test_largest_alert_of_an_honest_agent_is_taken() -> None:
    alert = fleet.make_alert(
        1,
        evidence="x" * 512,
        connection__path="x" * 16384,
        process__exe="/" + "x" * 4095,
        opcode=15,
        count=(1 << 32) - 1,
    )
    assert validate.delivery("web-1", 7, ingest_pb2.Batch(alerts=[alert])).alerts[0] == alert


@given(st.binary(max_size=200))
def test_no_bytes_make_validation_fail_in_another_way(data: bytes) -> None:
    try:
        batch = ingest_pb2.Batch.FromString(data)
    except Exception:
        return  # gRPC refuses it before us
    try:
        validate.delivery("web-1", 7, batch)
    except InvalidInput as error:
        assert error.field.startswith("batch.alerts")  # noqa: PT017


async def test_bad_batches_end_their_stream_and_store_nothing(settings: Config) -> None:
    async with fleet.agent(settings, "web-2") as honest:
        await honest.hello()
        cases = [
            ([fleet.make_alert(1, evidence="x" * 600)], "batch.alerts[0].evidence"),
            ([fleet.make_alert(2), fleet.make_alert(2)], "batch.alerts[1].sequence"),
            ([fleet.make_alert(2), fleet.make_alert(1)], "batch.alerts[1].sequence"),
            ([], "batch.alerts: empty"),
            (list(map(fleet.make_alert, range(1, 502))), "501 of them, at most 500"),
        ]
        for alerts, text in cases:
            code, details = await refused(settings, *alerts)
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert text in details
        assert await honest.deliver(fleet.make_alert(1, "web-2")) == 1
    async with fleet.agent(settings) as agent:
        assert (await agent.hello()).sequence == 0


async def test_alert_of_another_agent_is_refused(settings: Config) -> None:
    code, details = await refused(settings, fleet.make_alert(1, "web-2"))
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert "batch.alerts[0].agent" in details


async def test_message_above_the_size_limit_is_refused(settings: Config) -> None:
    huge = fleet.make_alert(1, evidence="x" * (limits.MESSAGE_BYTES + 1))
    code, _ = await refused(settings, huge)
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("name", ["", "-x", "a b", "x" * 256, "a\n", "../etc"])
async def test_names_that_no_host_has_are_refused(settings: Config, name: str) -> None:
    async with fleet.agent(settings, name) as agent:
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await agent.hello()
    assert ended.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (ended.value.details() or "").startswith("hello.agent")


async def test_hello_comes_first_and_once(settings: Config) -> None:
    async with fleet.agent(settings) as agent:
        await agent.send(fleet.make_alert(1))
        with pytest.raises(grpc.aio.AioRpcError, match="hello: must be the first message"):
            await agent.answer()
    async with fleet.agent(settings) as agent:
        await agent.hello()
        with pytest.raises(grpc.aio.AioRpcError, match="neither a batch nor a heartbeat"):
            await agent.hello()


async def test_heartbeat_is_bounded(settings: Config) -> None:
    async with fleet.agent(settings) as agent:
        await agent.hello()
        await agent.beat(**{f"c{number}": 1 for number in range(limits.COUNTERS + 1)})
        with pytest.raises(grpc.aio.AioRpcError, match=r"heartbeat\.counters"):
            await agent.answer()


async def test_number_of_hosts_is_bounded_and_known_ones_come_back(settings: Config) -> None:
    for name in ("a", "b"):
        async with fleet.agent(settings, name) as agent:
            await agent.hello()
    async with fleet.agent(settings, "c") as agent:
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await agent.hello()
    assert ended.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    async with fleet.agent(settings, "a") as agent:
        await agent.hello()


async def test_silent_stream_is_ended(tmp_path: Path) -> None:
    chosen = fleet.config(tmp_path, silence=Duration(10**9))
    async with fleet.serving(chosen), fleet.agent(chosen) as agent:
        await agent.hello()
        with pytest.raises(grpc.aio.AioRpcError, match="no heartbeat") as ended:
            await agent.answer()
    assert ended.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_flood_waits_and_others_do_not(tmp_path: Path) -> None:
    chosen = fleet.config(tmp_path, alerts_per_second=10)
    async with (
        fleet.serving(chosen),
        fleet.agent(chosen) as flooding,
        fleet.agent(chosen, "web-2") as other,
    ):
        await flooding.hello()
        await other.hello()
        # 5 s of quiet are granted: 50 alerts pass at once, and 50 more wait for 5 s.
        assert await flooding.deliver(*map(fleet.make_alert, range(1, 51))) == 50
        await flooding.send(*map(fleet.make_alert, range(51, 101)))
        waiting = asyncio.ensure_future(flooding.call.read())
        assert await other.deliver(fleet.make_alert(1, "web-2")) == 1
        assert not waiting.done()
        waiting.cancel()
