"""The collector as a whole: its store, its two addresses, its start and its end.

Agents and people have their own address, so that neither reaches the other's service.
Both carry gRPC's health service; reflection is off.
"""

import asyncio
import contextlib
import logging
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from sockwarden.collector import credentials, numbers, retention
from sockwarden.collector.async_store import AsyncStore
from sockwarden.collector.config import Config
from sockwarden.collector.errors import CollectorError
from sockwarden.collector.ingest import Ingest, Roster
from sockwarden.collector.query import Query
from sockwarden.collector.store import Store, open_store
from sockwarden.daemon import journal
from sockwarden.daemon.config import Address
from sockwarden.daemon.metrics import Exporter
from sockwarden.proto import limits
from sockwarden.proto.v1 import ingest_pb2, query_pb2
from sockwarden.proto.v1.ingest_pb2_grpc import add_IngestServiceServicer_to_server
from sockwarden.proto.v1.query_pb2_grpc import add_QueryServiceServicer_to_server

_log = logging.getLogger(__name__)

_INGEST = ingest_pb2.DESCRIPTOR.services_by_name["IngestService"].full_name
_QUERY = query_pb2.DESCRIPTOR.services_by_name["QueryService"].full_name

_SOCKET_MODE = 0o660
_START_BUDGET_S = 60.0
_HOSTS_PAGE = 1_000
# What is under way when the collector stops gets this long; the rest is cut.
_GRACE_S = 5.0
_KEEPALIVE_MS = 20_000
_QUERIES = 256
_QUERY_MESSAGE_BYTES = 64 << 10


class Collector:
    """Made by `start`; serves until `stop`."""

    _writing: asyncio.Task[None]
    _keeping: asyncio.Task[None]

    def __init__(self, config: Config, store: Store) -> None:
        known = _known(store)
        self._backend = store
        self.store = AsyncStore(store, store.position(budget_s=_START_BUDGET_S))
        self.roster = Roster(known, config.limits.hosts)
        self._query = Query(self.store, self.roster, config.limits)
        self._ingest = Ingest(
            self.store,
            self.roster,
            config.limits,
            certificates=credentials.certified(config.listen, config.listen.address),
        )
        self._healths: list[HealthServicer] = []
        self._exporter: Exporter | None = None
        self._servers: list[grpc.aio.Server] = []
        self._config = config

    @classmethod
    async def start(cls, config: Config) -> "Collector":
        """Raises `CollectorError` in one line; then nothing of it is left behind."""
        chosen = config.store
        # In a thread: the check of a large file after a crash takes its time.
        store = await asyncio.to_thread(
            open_store, chosen.engine, Path(chosen.path), chosen.limit_bytes
        )
        try:
            collector = cls(config, store)
        except BaseException:
            store.close()
            raise
        collector._writing = asyncio.create_task(collector.store.run(), name="store-write")
        collector._keeping = asyncio.create_task(
            retention.keep(collector.store, config.retention.days), name="retention"
        )
        try:
            collector._export()
            await collector._listen()
        except BaseException:
            await collector.stop()
            raise
        return collector

    async def _listen(self) -> None:
        allowed = self._config.limits
        ingest = _server(limits.MESSAGE_BYTES, allowed.streams)
        add_IngestServiceServicer_to_server(self._ingest, ingest)
        query = _server(_QUERY_MESSAGE_BYTES, _QUERIES)
        add_QueryServiceServicer_to_server(self._query, query)
        for server, address, service in (
            (ingest, self._config.listen.address, _INGEST),
            (query, self._config.listen.query, _QUERY),
        ):
            health = HealthServicer()
            health_pb2_grpc.add_HealthServicer_to_server(health, server)
            self._bind(server, address)
            await health.set(service, health_pb2.HealthCheckResponse.SERVING)
            self._healths.append(health)
            self._servers.append(server)
            await server.start()

    def _bind(self, server: grpc.aio.Server, address: Address) -> None:
        chosen = credentials.server(self._config.listen, address)
        if chosen is None and not address.is_unix:
            journal.say(
                _log,
                logging.WARNING,
                f"development mode: {address} has no TLS, and callers are who they say they are",
                journal.Event.DEVELOPMENT_MODE,
            )
        with _socket_mode(address):
            try:
                if chosen is None:
                    port = server.add_insecure_port(address)
                else:
                    port = server.add_secure_port(address, chosen)
            except RuntimeError as error:
                raise CollectorError(f"{address}: cannot listen here: {_why(address)}") from error
        if not port:
            raise CollectorError(f"{address}: cannot listen here: {_why(address)}")

    def _export(self) -> None:
        if self._config.metrics.listen:
            self._exporter = Exporter(
                Address(self._config.metrics.listen),
                "sockwarden_collector",
                lambda: numbers.counters(self.store),
                lambda: numbers.gauges(self._backend, self.roster),
            )

    async def alive(self) -> None:
        """Returns when the way to the disk moved: what a watchdog is told."""
        await self.store.turn()

    async def stop(self) -> None:
        """Tells streams and tails, finishes what is being written, leaves a clean file."""
        for health in self._healths:
            await health.enter_graceful_shutdown()
        self._query.end_all()
        self.roster.end_all()
        await asyncio.gather(*(server.stop(_GRACE_S) for server in self._servers))
        if self._exporter is not None:
            await asyncio.to_thread(self._exporter.close)
        self._keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._keeping
        await self.store.close(self._writing)


def _known(store: Store) -> set[str]:
    known: set[str] = set()
    after = ""
    while page := store.hosts(after, _HOSTS_PAGE, budget_s=_START_BUDGET_S):
        known.update(host.agent for host in page)
        after = page[-1].agent
    return known


def _server(message_bytes: int, calls: int) -> grpc.aio.Server:
    return grpc.aio.server(
        maximum_concurrent_rpcs=calls,
        options=(
            ("grpc.max_receive_message_length", message_bytes),
            # Two collectors on one port would each get half of the agents.
            ("grpc.so_reuseport", 0),
            ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
            ("grpc.keepalive_timeout_ms", _KEEPALIVE_MS),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", _KEEPALIVE_MS // 4),
        ),
    )


def _why(address: Address) -> str:
    """Asks the system what gRPC does not tell."""
    if address.is_unix:
        return "the socket cannot be made"
    try:
        for family, kind, _, _, place in socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            with socket.socket(family, kind) as trial:
                trial.bind(place)
    except OSError as error:
        return error.strerror or str(error)
    return "gRPC refuses it"


@contextlib.contextmanager
def _socket_mode(address: Address) -> Iterator[None]:
    """A unix socket is for its owner and group from its first moment on."""
    if not address.is_unix:
        yield
        return
    _make_way(Path(address.removeprefix("unix:")))
    before = os.umask(0o777 & ~_SOCKET_MODE)
    try:
        yield
    finally:
        os.umask(before)


def _make_way(path: Path) -> None:
    """A socket that a killed collector left; the store's lock says that it is not in use."""
    try:
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
        else:
            raise CollectorError(f"{path}: cannot listen here: a file that is no socket is there")
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise CollectorError(f"{path}: cannot listen here: no such folder") from None
    except OSError as error:
        raise CollectorError(f"{path}: cannot listen here: {error.strerror}") from error
