"""Who watches the demo: the alerts as QueryService streams them, and what to make of them.

Nothing here knows the agent or the store: the demo sees what any client of the collector sees.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import grpc

from sockwarden.cli.demo.errors import DemoError
from sockwarden.proto.v1.query_pb2 import (
    Host,
    ListHostsRequest,
    StoredAlert,
    TailAlertsRequest,
)
from sockwarden.proto.v1.query_pb2_grpc import QueryServiceStub

CALL_SECONDS = 5
# The collector is asked until it has started; gRPC would wait longer after each refusal.
CHANNEL_OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
]


@dataclass(frozen=True)
class Arrival:
    stored: StoredAlert
    at_ns: int


@dataclass(frozen=True)
class Performance:
    """One scene played on one server; `path` is its request's, and no other's."""

    server: str
    scene: str
    rule: str | None
    path: str
    begun_ns: int


@dataclass(frozen=True)
class Outcome:
    """`latency_ns` runs from the attack's start to the first alert's arrival."""

    performance: Performance
    times: int
    latency_ns: int


@dataclass(frozen=True)
class Verdict:
    outcomes: Sequence[Outcome]
    unexpected: Sequence[StoredAlert]

    @property
    def good(self) -> bool:
        return not self.unexpected and all(one.times == 1 for one in self.outcomes)


def judge(performances: Iterable[Performance], arrivals: Iterable[Arrival]) -> Verdict:
    """Each scene's rule raised one alert, and nothing else did.

    Only alerts on the scenes' own paths are judged: this host may have other traffic.
    """
    played = {(one.path, one.rule): one for one in performances}
    paths = {path for path, _rule in played}
    seen: Counter[tuple[str, str | None]] = Counter()
    latency_ns: dict[tuple[str, str | None], int] = {}
    unexpected = []
    for arrival in arrivals:
        alert = arrival.stored.alert
        if alert.connection.path not in paths:
            continue
        key = (alert.connection.path, alert.rule.id)
        seen[key] += 1
        if key not in played or seen[key] > 1:
            unexpected.append(arrival.stored)
        else:
            latency_ns[key] = arrival.at_ns - played[key].begun_ns
    outcomes = [
        Outcome(one, seen[key], latency_ns.get(key, 0))
        for key, one in played.items()
        if one.rule is not None
    ]
    return Verdict(outcomes, unexpected)


class Audience:
    """Listens to the collector; `shown` is called with each alert when it arrives."""

    def __init__(self, address: str, shown: Callable[[StoredAlert], None]) -> None:
        self.arrivals: list[Arrival] = []
        self._shown = shown
        self._channel = grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        self._query = QueryServiceStub(self._channel)
        self._news = asyncio.Condition()

    async def listen(self) -> None:
        """From the store's first alert on, until cancelled."""
        try:
            async for response in self._query.TailAlerts(TailAlertsRequest(after=0)):
                self.arrivals.append(Arrival(response.alert, time.monotonic_ns()))
                self._shown(response.alert)
                async with self._news:
                    self._news.notify_all()
        except grpc.aio.AioRpcError as error:
            raise DemoError(f"the stream of alerts broke: {error.details()}") from error

    async def answered(self) -> bool:
        """Whether the collector answers by now."""
        try:
            await self.hosts()
        except grpc.aio.AioRpcError as error:
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                return False
            raise DemoError(f"the collector refuses to answer: {error.details()}") from error
        return True

    async def hosts(self) -> list[Host]:
        response = await self._query.ListHosts(ListHostsRequest(), timeout=CALL_SECONDS)
        return list(response.hosts)

    async def sees(self, path: str, seconds: float) -> bool:
        """Whether an alert about that path is there, or comes in time."""

        def there() -> bool:
            return any(one.stored.alert.connection.path == path for one in self.arrivals)

        try:
            async with asyncio.timeout(seconds), self._news:
                await self._news.wait_for(there)
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        await self._channel.close(grace=None)
