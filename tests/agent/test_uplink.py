"""Whatever the collector does, each alert arrives, in order, and twice only as a resend."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import msgspec
import pytest
from agent_alerts import make_alert

from sockwarden.agent import uplink as uplink_module
from sockwarden.agent.config import Config
from sockwarden.agent.config import Uplink as UplinkSection
from sockwarden.agent.spool import Spool
from sockwarden.agent.uplink import Uplink, read_credentials
from sockwarden.agent.wire import Status
from sockwarden.daemon.config import Address, ConfigError, parse
from sockwarden.proto.v1 import alert_pb2
from sockwarden.proto.v1.ingest_pb2 import Ack, DeliverRequest, DeliverResponse, Welcome
from sockwarden.proto.v1.ingest_pb2_grpc import (
    IngestServiceServicer,
    add_IngestServiceServicer_to_server,
)

DEADLINE_S = 20.0


class Limits(msgspec.Struct, frozen=True):
    limit_bytes: int = 16 << 20
    segment_bytes: int = 64 << 10


class Collector(IngestServiceServicer):
    """Stores like the real one; `misbehave` may raise, delay or refuse before each commit."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.stored: dict[int, alert_pb2.Alert] = {}
        self.received: list[int] = []
        self.largest = 0
        self.window = 4
        self.sessions = 0
        self.heartbeats: list[DeliverRequest] = []
        self.misbehave: Callable[[int], str] = lambda batch: ""
        self._server: grpc.Server | None = None

    def start(self) -> None:
        self._server = grpc.server(ThreadPoolExecutor(8))
        add_IngestServiceServicer_to_server(self, self._server)
        assert self._server.add_insecure_port(self.address)
        self._server.start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop(0).wait()
            self._server = None

    def Deliver(
        self, request_iterator: Iterator[DeliverRequest], context: grpc.ServicerContext
    ) -> Iterator[DeliverResponse]:
        hello = next(request_iterator)
        assert hello.HasField("hello")
        self.sessions += 1
        yield DeliverResponse(
            welcome=Welcome(
                sequence=max(self.stored, default=0), window=self.window, batch_limit=500
            )
        )
        for number, request in enumerate(request_iterator):
            if request.HasField("heartbeat"):
                self.heartbeats.append(request)
                continue
            alerts = request.batch.alerts
            fault = self.misbehave(number)
            if fault == "refuse":
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "the store is full")
            if fault == "drop before":
                context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
            self.largest = max(self.largest, len(alerts))
            self.received += [alert.sequence for alert in alerts]
            for alert in alerts:
                self.stored.setdefault(alert.sequence, alert)
            if fault == "drop after":
                context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
            if fault == "late":
                time.sleep(0.02)
            yield DeliverResponse(ack=Ack(sequence=alerts[-1].sequence))


def until(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end_s, "did not happen in time"
        time.sleep(0.005)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplink_module, "_PAUSE_FIRST_S", 0.02)
    monkeypatch.setattr(uplink_module, "_PAUSE_MAX_S", 0.05)
    monkeypatch.setattr(uplink_module, "_TICK_S", 0.02)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool", Limits())
    yield spool
    spool.close()


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    collector = Collector(f"unix:{tmp_path}/c.sock")
    yield collector
    collector.stop()


@pytest.fixture
def connect(spool: Spool) -> Iterator[Callable[..., Uplink]]:
    uplinks: list[Uplink] = []

    def start(*addresses: str) -> Uplink:
        config = Config(
            agent=parse(b'[agent]\nname = "host-1"', Config, "t").agent,
            uplink=UplinkSection(
                collectors=tuple(Address(address) for address in addresses),
                insecure_loopback=True,
            ),
        )
        uplink = Uplink(
            config,
            spool,
            None,
            heartbeat=lambda: Status(started_ns=1, counters={"messages": 5}, rules="ab"),
        )
        uplinks.append(uplink)
        uplink.start()
        return uplink

    yield start
    for uplink in uplinks:
        uplink.stop(0.1)


def raise_alerts(spool: Spool, count: int) -> None:
    for number in range(count):
        assert spool.append(make_alert(f"evidence {number}")) is not None


def first_arrivals(received: list[int]) -> list[int]:
    return list(dict.fromkeys(received))


def test_all_arrive_in_order_and_free_the_spool(
    spool: Spool, collector: Collector, connect: Callable[..., Uplink]
) -> None:
    collector.start()
    raise_alerts(spool, 1_300)
    uplink = connect(collector.address)
    until(lambda: spool.depth == 0)
    assert collector.received == list(range(1, 1_301))
    assert collector.largest == 500
    assert uplink.counters["uplink_sent"] == 1_300
    assert uplink.connected


def test_alert_keeps_every_field(
    spool: Spool, collector: Collector, connect: Callable[..., Uplink]
) -> None:
    collector.start()
    taken = spool.append(make_alert("ev"))
    assert taken is not None
    connect(collector.address)
    until(lambda: bool(collector.stored))
    alert = collector.stored[1]
    assert (alert.id, alert.agent, alert.spool) == (taken.id, "host-1", spool.number)
    assert alert.time.ToJsonString() == "2026-11-24T22:00:00.000000001Z"
    assert (alert.rule.id, alert.rule.level, alert.count) == (
        "sql-union",
        alert_pb2.LEVEL_HIGH,
        2,
    )
    assert (alert.direction, alert.opcode, alert.evidence) == (alert_pb2.DIRECTION_C2S, 1, "ev")
    assert (alert.connection.id, alert.connection.tls) == (7, "openssl")
    assert not alert.connection.HasField("origin")
    assert (alert.process.pid, alert.process.uid) == (4711, 33)


@pytest.mark.parametrize("fault", ["drop before", "drop after", "refuse", "late"])
def test_faults_lose_nothing_and_double_only_resends(
    spool: Spool, collector: Collector, connect: Callable[..., Uplink], fault: str
) -> None:
    faults = iter([fault] * 8)
    collector.misbehave = lambda batch: next(faults, "")
    collector.start()
    uplink = connect(collector.address)
    writer = threading.Thread(target=raise_alerts, args=(spool, 2_000))
    writer.start()
    writer.join()
    until(lambda: spool.depth == 0)
    assert first_arrivals(collector.received) == list(range(1, 2_001))
    assert sorted(collector.stored) == list(range(1, 2_001))
    if fault != "drop after":
        assert collector.received == list(range(1, 2_001))
    if fault in ("drop before", "refuse"):
        assert uplink.counters["uplink_failures"] == 8


def test_collector_that_comes_later_and_restarts(
    spool: Spool, collector: Collector, connect: Callable[..., Uplink]
) -> None:
    uplink = connect(collector.address)
    raise_alerts(spool, 100)
    until(lambda: uplink.counters["uplink_failures"] >= 2)
    before = uplink.progress
    until(lambda: uplink.progress > before)
    for round_ in range(3):
        collector.start()
        until(lambda: spool.depth == 0)
        collector.stop()
        raise_alerts(spool, 100)
        assert len(collector.stored) == 100 * (round_ + 1)
    collector.start()
    until(lambda: spool.depth == 0)
    assert collector.received == list(range(1, 401))


def test_next_collector_is_tried(
    spool: Spool, collector: Collector, connect: Callable[..., Uplink], tmp_path: Path
) -> None:
    collector.start()
    connect(f"unix:{tmp_path}/nobody.sock", collector.address)
    raise_alerts(spool, 10)
    until(lambda: len(collector.stored) == 10)


def test_window_bounds_what_is_on_the_way(
    spool: Spool, collector: Collector, connect: Callable[..., Uplink]
) -> None:
    """The collector reads nothing until released: only a window of batches is sent."""
    released = threading.Event()

    def hold(batch: int) -> str:
        assert released.wait(DEADLINE_S)
        return ""

    collector.window = 2
    collector.misbehave = hold
    collector.start()
    raise_alerts(spool, 5_000)
    uplink = connect(collector.address)
    until(lambda: uplink.counters["uplink_batches"] == 2)
    before = uplink.progress
    until(lambda: uplink.progress > before + 3)
    assert uplink.counters["uplink_batches"] == 2
    released.set()
    until(lambda: spool.depth == 0)


def test_silent_collector_is_given_up(
    spool: Spool,
    collector: Collector,
    connect: Callable[..., Uplink],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uplink_module, "ACK_S", 0.2)
    stuck = threading.Event()

    def hang_once(batch: int) -> str:
        if collector.sessions == 1:
            stuck.wait(DEADLINE_S)
        return ""

    collector.misbehave = hang_once
    collector.start()
    raise_alerts(spool, 10)
    connect(collector.address)
    until(lambda: collector.sessions >= 2)
    until(lambda: spool.depth == 0)
    stuck.set()


def test_heartbeat_comes_at_once_with_the_numbers(
    spool: Spool, collector: Collector, connect: Callable[..., Uplink]
) -> None:
    collector.start()
    connect(collector.address)
    until(lambda: bool(collector.heartbeats))
    beat = collector.heartbeats[0].heartbeat
    assert beat.counters["messages"] == 5
    assert beat.counters["spool_refused.low"] == 0
    assert beat.rules == "ab"
    assert beat.memory_bytes > 1 << 20
    assert beat.time.ToNanoseconds() > 0


def test_stop_flushes_what_is_there(
    spool: Spool, collector: Collector, connect: Callable[..., Uplink]
) -> None:
    collector.misbehave = lambda batch: "late"
    collector.start()
    uplink = connect(collector.address)
    until(lambda: uplink.connected)
    raise_alerts(spool, 3_000)
    uplink.stop(DEADLINE_S)
    assert spool.depth == 0
    assert collector.received == list(range(1, 3_001))


def test_stop_waits_for_what_the_disk_still_writes(
    spool: Spool,
    collector: Collector,
    connect: Callable[..., Uplink],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    collector.start()
    uplink = connect(collector.address)
    until(lambda: uplink.connected)
    slow, written = os.fdatasync, threading.Event()
    monkeypatch.setattr(os, "fdatasync", lambda file: (written.wait(DEADLINE_S), slow(file)))
    raise_alerts(spool, 10)
    stopping = threading.Thread(target=uplink.stop, args=(DEADLINE_S,))
    stopping.start()
    until(lambda: uplink.stopping)
    stopping.join(0.2)
    written.set()
    stopping.join()
    assert len(collector.stored) == 10


def test_stop_is_bounded_when_the_collector_hangs(
    spool: Spool, collector: Collector, connect: Callable[..., Uplink]
) -> None:
    stuck = threading.Event()
    collector.misbehave = lambda batch: str(stuck.wait(DEADLINE_S))[:0]
    collector.start()
    raise_alerts(spool, 10)
    uplink = connect(collector.address)
    until(lambda: uplink.counters["uplink_batches"] == 1)
    start_s = time.monotonic()
    uplink.stop(0.3)
    assert time.monotonic() - start_s < 3
    assert spool.depth == 10
    stuck.set()


def test_spool_that_lost_alerts_goes_on_behind_the_collector(
    spool: Spool, collector: Collector, connect: Callable[..., Uplink]
) -> None:
    collector.stored[70] = alert_pb2.Alert(sequence=70)
    collector.start()
    uplink = connect(collector.address)
    until(lambda: uplink.connected)
    until(lambda: spool.last_sequence == 70)
    raise_alerts(spool, 3)
    until(lambda: spool.depth == 0)
    assert collector.received == [71, 72, 73]


def test_without_a_collector_alerts_stay(spool: Spool, connect: Callable[..., Uplink]) -> None:
    uplink = connect()
    raise_alerts(spool, 5)
    before = uplink.progress
    until(lambda: uplink.progress > before)
    assert spool.depth == 5


def test_missing_certificate_is_named(tmp_path: Path) -> None:
    settings = UplinkSection(
        collectors=(Address("c.example:7443"),),
        ca=f"{tmp_path}/ca.pem",
        certificate="/c",
        key="/k",
    )
    with pytest.raises(ConfigError, match=r"ca\.pem: cannot read the CA certificate: No such"):
        read_credentials(settings)


def test_plaintext_to_another_host_is_refused(spool: Spool) -> None:
    config = Config(
        uplink=UplinkSection(collectors=(Address("c.example:1"),), ca="a", certificate="b", key="c")
    )
    with pytest.raises(ConfigError, match="neither loopback nor a unix socket"):
        Uplink(config, spool, None, heartbeat=lambda: Status(started_ns=0, counters={}))
