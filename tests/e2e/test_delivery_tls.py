"""Spool, uplink and collector over mutual TLS: what arrives, and what is said when nothing does."""

import logging
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fleet
import grpc
import msgspec
import pytest
from agent_alerts import make_alert
from authority import Authority

from sockwarden.agent import uplink as uplink_module
from sockwarden.agent.config import Agent, Config, Uplink
from sockwarden.agent.spool import Spool
from sockwarden.agent.uplink import Uplink as Delivery
from sockwarden.agent.uplink import read_credentials
from sockwarden.agent.wire import Status
from sockwarden.collector.config import Config as CollectorConfig
from sockwarden.daemon.config import Address
from sockwarden.proto.v1.query_pb2 import ListAlertsRequest, ListHostsRequest
from sockwarden.proto.v1.query_pb2_grpc import QueryServiceStub

DEADLINE_S = 20.0


def until(condition: Callable[[], bool], what: str) -> None:
    end_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end_s, f"never: {what}"
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplink_module, "_PAUSE_FIRST_S", 0.05)
    monkeypatch.setattr(uplink_module, "_PAUSE_MAX_S", 0.1)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    limits = Config().spool
    spool = Spool(tmp_path / "spool", limits)
    for _ in range(3):
        assert spool.append(make_alert(agent="web-1"))
    yield spool
    spool.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def collector(
    authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CollectorConfig]:
    folder = tmp_path_factory.mktemp("collector")
    certificate, key = authority.issue("localhost")
    plain = fleet.config(folder)
    listen = msgspec.structs.replace(
        plain.listen,
        address=Address(f"127.0.0.1:{free_port()}"),
        ca=authority.ca,
        certificate=certificate,
        key=key,
        insecure_loopback=False,
    )
    settings = msgspec.structs.replace(plain, listen=listen)
    with fleet.process(settings, folder):
        yield settings


def agent(authority: Authority, name: str, address: str, *, certified: str = "") -> Config:
    certificate, key = authority.issue(certified or name)
    uplink = Uplink(
        collectors=(Address(address),), ca=authority.ca, certificate=certificate, key=key
    )
    return Config(agent=Agent(name=name), uplink=uplink)


def deliver(config: Config, spool: Spool) -> Delivery:
    delivery = Delivery(
        config,
        spool,
        read_credentials(config.uplink),
        heartbeat=lambda: Status(started_ns=1, counters={"messages": 5}, rules="ab"),
    )
    delivery.start()
    return delivery


def address_of(settings: CollectorConfig) -> str:
    return f"localhost:{settings.listen.address.port}"


def test_alerts_and_heartbeat_arrive(
    spool: Spool, authority: Authority, collector: CollectorConfig
) -> None:
    delivery = deliver(agent(authority, "web-1", address_of(collector)), spool)
    try:
        until(lambda: spool.depth == 0, "all acknowledged")
        with grpc.insecure_channel(collector.listen.query) as channel:
            stub = QueryServiceStub(channel)
            stored = stub.ListAlerts(ListAlertsRequest(oldest_first=True)).alerts
            assert [found.alert.sequence for found in stored] == [1, 2, 3]
            assert {found.alert.agent for found in stored} == {"web-1"}
            (host,) = stub.ListHosts(ListHostsRequest()).hosts
            assert host.heartbeat.counters["messages"] == 5
            assert host.heartbeat.counters["spool_appended"] == 3
    finally:
        delivery.stop(1)


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (
            "certificate of another agent",
            "permission denied: hello.agent: the certificate is for web-7, not for",
        ),
        ("nobody listens", "Connection refused (does the collector run there?)"),
        ("no such name", "no-such-name.invalid:7443: unavailable: errors resolving"),
        ("collector of another authority", "not of the authority in uplink.ca"),
        ("collector of another name", "for another name than in uplink.collectors"),
    ],
)
def test_what_cannot_be_delivered_waits_and_the_reason_is_said_once(
    case: str,
    said: str,
    spool: Spool,
    authority: Authority,
    collector: CollectorConfig,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    address = {
        "nobody listens": f"127.0.0.1:{free_port()}",
        "no such name": "no-such-name.invalid:7443",
        "collector of another name": str(collector.listen.address),
    }.get(case, address_of(collector))
    config = agent(authority, "web-9", address, certified="web-7" if case.endswith("agent") else "")
    if case == "collector of another authority":
        (tmp_path / "other").mkdir()
        uplink = msgspec.structs.replace(config.uplink, ca=Authority(tmp_path / "other").ca)
        config = msgspec.structs.replace(config, uplink=uplink)
    delivery = deliver(config, spool)
    try:
        until(lambda: delivery.counters["uplink_failures"] >= 2, "two failures")
    finally:
        delivery.stop(0.1)
    assert spool.depth == 3
    lost = [line for line in caplog.messages if line.endswith("; alerts wait in the spool")]
    assert len(lost) == 1, lost
    assert said in lost[0]
    assert address in lost[0]
    assert "\n" not in lost[0]
