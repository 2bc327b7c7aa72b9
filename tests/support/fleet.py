"""A fleet for tests: alerts, scripted agents, and a collector in this process or its own."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc

from sockwarden.collector.config import Config, Limits, Listen, Store
from sockwarden.collector.server import Collector
from sockwarden.daemon.config import Address
from sockwarden.proto.v1 import ingest_pb2
from sockwarden.proto.v1.alert_pb2 import Alert
from sockwarden.proto.v1.ingest_pb2_grpc import IngestServiceStub
from sockwarden.proto.v1.query_pb2_grpc import QueryServiceStub

START_NS = 1_790_000_000 * 10**9
PATIENCE_S = 20.0


def make_alert(sequence: int, agent: str = "web-1", spool: int = 7, /, **changes: Any) -> Alert:
    """`changes` name fields by path with two underscores: `rule__level=5`."""
    alert = Alert(
        id=f"{agent}-{spool}-{sequence}",
        agent=agent,
        spool=spool,
        sequence=sequence,
        count=1,
        direction="DIRECTION_C2S",
        opcode=1,
        evidence="' OR 1=1 --",
        rule={
            "id": "sql-injection",
            "title": "SQL injection",
            "level": "LEVEL_HIGH",
            "category": "CATEGORY_INJECTION",
            "tags": ["cwe.89"],
        },
        connection={
            "id": 9,
            "client": "10.9.0.1:20000",
            "server": "10.9.0.2:8080",
            "role": "ROLE_SERVER",
            "path": "/chat",
            "origin": "https://shop.example",
            "tls": "openssl",
        },
        process={"pid": 4711, "exe": "/usr/bin/node", "uid": 33, "unit": "app.service"},
    )
    alert.time.FromNanoseconds(START_NS + sequence)
    for path, value in changes.items():
        *parents, name = path.split("__")
        message: Any = alert
        for parent in parents:
            message = getattr(message, parent)
        setattr(message, name, value)
    return alert


def config(folder: Path, **limits: Any) -> Config:
    return Config(
        listen=Listen(
            address=Address(f"unix:{folder}/ingest.sock"),
            query=Address(f"unix:{folder}/query.sock"),
            insecure_loopback=True,
        ),
        store=Store(path=str(folder / "alerts.db")),
        limits=Limits(**limits),
    )


@contextlib.asynccontextmanager
async def serving(settings: Config) -> AsyncIterator[Collector]:
    collector = await Collector.start(settings)
    try:
        yield collector
    finally:
        await collector.stop()


@contextlib.asynccontextmanager
async def querying(settings: Config) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(settings.listen.query) as channel:
        yield QueryServiceStub(channel)


class ScriptedAgent:
    """One Deliver stream that does exactly what a test says."""

    def __init__(self, call: Any, agent: str, spool: int) -> None:
        self.call = call
        self.agent = agent
        self.spool = spool

    async def hello(self) -> ingest_pb2.Welcome:
        hello = ingest_pb2.Hello(
            agent=self.agent, spool=self.spool, version="0.1.0", hostname="web", kernel="6.1"
        )
        await self.call.write(ingest_pb2.DeliverRequest(hello=hello))
        return (await self.answer()).welcome

    async def send(self, *alerts: Alert) -> None:
        batch = ingest_pb2.Batch(alerts=alerts)
        await self.call.write(ingest_pb2.DeliverRequest(batch=batch))

    async def deliver(self, *alerts: Alert) -> int:
        """The sequence that the collector acknowledges."""
        await self.send(*alerts)
        return (await self.answer()).ack.sequence

    async def beat(self, **counters: int) -> None:
        heartbeat = ingest_pb2.Heartbeat(counters=counters, rules="ab" * 32)
        heartbeat.time.FromNanoseconds(START_NS)
        heartbeat.started.FromNanoseconds(START_NS)
        await self.call.write(ingest_pb2.DeliverRequest(heartbeat=heartbeat))

    async def answer(self) -> ingest_pb2.DeliverResponse:
        """Raises `grpc.aio.AioRpcError` where the stream ends with a status."""
        async with asyncio.timeout(PATIENCE_S):
            response = await self.call.read()
        assert response is not grpc.aio.EOF, "the stream ended well instead"
        return response


@contextlib.asynccontextmanager
async def agent(
    settings: Config, name: str = "web-1", spool: int = 7
) -> AsyncIterator[ScriptedAgent]:
    async with grpc.aio.insecure_channel(settings.listen.address) as channel:
        call = IngestServiceStub(channel).Deliver()
        try:
            yield ScriptedAgent(call, name, spool)
        finally:
            call.cancel()


async def until(condition: Any, what: str) -> None:
    """Polls an async condition."""
    deadline = time.monotonic() + PATIENCE_S
    while not await condition():
        assert time.monotonic() < deadline, f"never: {what}"
        await asyncio.sleep(0.01)


class CollectorProcess:
    """`python -m sockwarden.collector` in a process that can be killed."""

    def __init__(self, settings: Config, folder: Path) -> None:
        self._settings = settings
        self._file = folder / "collector.toml"
        self._file.write_text(toml(settings))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sockwarden.collector", "--config", str(self._file)],
            stderr=subprocess.DEVNULL,
            env=os.environ,
        )
        channel = grpc.insecure_channel(self._settings.listen.query)
        try:
            grpc.channel_ready_future(channel).result(timeout=PATIENCE_S)
        finally:
            channel.close()

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        status = self._process.wait(PATIENCE_S)
        self._process = None
        return status

    def close(self) -> None:
        if self._process is not None:
            self.end(signal.SIGKILL)


@contextlib.contextmanager
def process(settings: Config, folder: Path) -> Iterator[CollectorProcess]:
    running = CollectorProcess(settings, folder)
    running.start()
    try:
        yield running
    finally:
        running.close()


def toml(settings: Config) -> str:
    listen, store = settings.listen, settings.store
    return (
        f"[listen]\naddress = {listen.address!r}\nquery = {listen.query!r}\n"
        f"insecure_loopback = {str(listen.insecure_loopback).lower()}\n"
        f"ca = {listen.ca!r}\ncertificate = {listen.certificate!r}\nkey = {listen.key!r}\n"
        f"[store]\npath = {store.path!r}\nlimit_bytes = {int(store.limit_bytes)}\n"
    )
