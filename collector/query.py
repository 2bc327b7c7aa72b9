"""What people's tools call: alerts, hosts and statistics, read-only.

Each call has a time limit and each answer a size limit.  A listing shows what was stored
when its first page was asked for.  A tail shows each alert that is stored, once, in order;
its initial metadata say behind which position it begins, and a later call resumes it
behind any position.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import grpc

from sockwarden.collector import filters, page_token
from sockwarden.collector.answer import Context, Refusal, answer, refuse
from sockwarden.collector.async_store import AsyncStore
from sockwarden.collector.config import Limits
from sockwarden.collector.errors import CollectorError, InvalidInput
from sockwarden.collector.ingest import Roster
from sockwarden.collector.store import Filter, Page, Store
from sockwarden.proto import limits
from sockwarden.proto.v1.query_pb2 import (
    Dimension,
    GetAlertRequest,
    GetAlertResponse,
    GetStatsRequest,
    GetStatsResponse,
    ListAlertsRequest,
    ListAlertsResponse,
    ListHostsRequest,
    ListHostsResponse,
    StoredAlert,
    TailAlertsRequest,
    TailAlertsResponse,
)
from sockwarden.proto.v1.query_pb2_grpc import QueryServiceServicer

_PAGE_DEFAULT = 100
_PAGE_LIMIT = 1_000
_ROWS_DEFAULT = 20
_ROWS_LIMIT = 1_000
# A tail reads the store in steps of so many positions, of which it sends what it wants.
_TAIL_POSITIONS = 50_000
_TAIL_ALERTS = 500
_POSITION_KEY = "sockwarden-position"

T = TypeVar("T")


class Query(QueryServiceServicer):
    def __init__(self, store: AsyncStore, roster: Roster, allowed: Limits) -> None:
        self._store = store
        self._roster = roster
        self._allowed = allowed
        self._tails = 0
        self._stopping: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end_all(self) -> None:
        """Ends the tails, which would go on for ever."""
        if not self._stopping.done():
            self._stopping.set_result(None)

    async def ListAlerts(  # noqa: N802
        self, request: ListAlertsRequest, context: Context
    ) -> ListAlertsResponse:
        return await answer(context, self._list_alerts(request, self._budget_s(context)))

    async def GetAlert(  # noqa: N802
        self, request: GetAlertRequest, context: Context
    ) -> GetAlertResponse:
        return await answer(context, self._get_alert(request, self._budget_s(context)))

    async def ListHosts(  # noqa: N802
        self, request: ListHostsRequest, context: Context
    ) -> ListHostsResponse:
        return await answer(context, self._list_hosts(request, self._budget_s(context)))

    async def GetStats(  # noqa: N802
        self, request: GetStatsRequest, context: Context
    ) -> GetStatsResponse:
        return await answer(context, self._get_stats(request, self._budget_s(context)))

    async def TailAlerts(  # noqa: N802
        self, request: TailAlertsRequest, context: Context
    ) -> AsyncIterator[TailAlertsResponse]:
        try:
            with self._tail():
                chosen = filters.parse(request.filter)
                after = self._tail_start(request)
                await context.send_initial_metadata(((_POSITION_KEY, str(after)),))
                async for response in self._follow(chosen, after):
                    yield response
        except CollectorError as error:
            await refuse(context, error)

    async def _list_alerts(self, request: ListAlertsRequest, budget_s: float) -> ListAlertsResponse:
        chosen = filters.parse(request.filter)
        size = _size("page_size", request.page_size, _PAGE_DEFAULT, _PAGE_LIMIT)
        query = page_token.digest(
            request.filter.SerializeToString(deterministic=True), bytes([request.oldest_first])
        )
        after, newest = None, self._store.progress.position
        if request.page_token:
            place = page_token.decode(request.page_token, query, page_token.Place)
            after, newest = place.after, place.newest
        # One more than asked for tells whether there is another page.
        page = Page(size + 1, request.oldest_first, after, newest)
        found = await self._read(lambda store: store.alerts(chosen, page, budget_s=budget_s))
        response = ListAlertsResponse(alerts=found[:size])
        if len(found) > size:
            last = found[size - 1]
            key = (last.alert.time.ToNanoseconds(), last.position)
            response.next_page_token = page_token.encode(page_token.Place(query, key, newest))
        return response

    async def _get_alert(self, request: GetAlertRequest, budget_s: float) -> GetAlertResponse:
        if not 0 < len(request.id.encode()) <= limits.ALERT_ID_BYTES:
            raise InvalidInput("id", f"must have 1 to {limits.ALERT_ID_BYTES} bytes")
        found = await self._read(lambda store: store.alert(request.id, budget_s=budget_s))
        if found is None:
            raise Refusal(grpc.StatusCode.NOT_FOUND, f"there is no alert {request.id!r}")
        return GetAlertResponse(alert=found)

    async def _list_hosts(self, request: ListHostsRequest, budget_s: float) -> ListHostsResponse:
        size = _size("page_size", request.page_size, _PAGE_DEFAULT, _PAGE_LIMIT)
        query = page_token.digest(b"hosts")
        after = ""
        if request.page_token:
            after = page_token.decode(request.page_token, query, page_token.HostPlace).after
        hosts = await self._read(lambda store: store.hosts(after, size + 1, budget_s=budget_s))
        for host in hosts:
            host.connected = self._roster.connected(host.agent)
        response = ListHostsResponse(hosts=hosts[:size])
        if len(hosts) > size:
            response.next_page_token = page_token.encode(
                page_token.HostPlace(query, hosts[size - 1].agent)
            )
        return response

    async def _get_stats(self, request: GetStatsRequest, budget_s: float) -> GetStatsResponse:
        chosen = filters.parse(request.filter)
        by = list(request.by)
        if not 1 <= len(by) <= 2:
            raise InvalidInput("by", "must name one or two dimensions")
        for dimension in by:
            if dimension == 0 or dimension not in Dimension.values():
                raise InvalidInput("by", f"there is no dimension {dimension}")
        limit = _size("limit", request.limit, _ROWS_DEFAULT, _ROWS_LIMIT)
        rows = await self._read(lambda store: store.stats(chosen, by, limit, budget_s=budget_s))
        return GetStatsResponse(rows=rows)

    @contextmanager
    def _tail(self) -> Iterator[None]:
        if self._tails >= self._allowed.tails:
            raise Refusal(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"{self._allowed.tails} tails are open already (limits.tails)",
            )
        self._tails += 1
        try:
            yield
        finally:
            self._tails -= 1

    def _tail_start(self, request: TailAlertsRequest) -> int:
        newest = self._store.progress.position
        if not request.HasField("after"):
            return newest
        if request.after > newest:
            raise Refusal(
                grpc.StatusCode.OUT_OF_RANGE,
                f"after: {request.after} is beyond the newest alert ({newest}): another store?",
            )
        return request.after

    async def _follow(self, chosen: Filter, after: int) -> AsyncIterator[TailAlertsResponse]:
        while True:
            await self._beyond(after)
            until = min(self._store.progress.position, after + _TAIL_POSITIONS)
            reading = partial(_since, after, until, chosen, self._allowed.query_s)
            found = await self._read(reading)
            for stored in found:
                yield TailAlertsResponse(alert=stored)
            after = found[-1].position if len(found) == _TAIL_ALERTS else until

    async def _beyond(self, position: int) -> None:
        """Waits for a commit behind that position, not for longer than the collector runs."""
        waiting = asyncio.ensure_future(self._store.progress.beyond(position))
        try:
            await asyncio.wait({waiting, self._stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if self._stopping.done():
            raise Refusal(grpc.StatusCode.UNAVAILABLE, "the collector is stopping")

    async def _read(self, reading: Callable[[Store], T]) -> T:
        return await self._store.read(reading)

    def _budget_s(self, context: Context) -> float:
        remaining_s = context.time_remaining()
        allowed_s = float(self._allowed.query_s)
        return allowed_s if remaining_s is None else max(0.0, min(allowed_s, remaining_s))


def _since(
    after: int, until: int, chosen: Filter, budget_s: float, store: Store
) -> list[StoredAlert]:
    return store.since(after, until, chosen, _TAIL_ALERTS, budget_s=budget_s)


def _size(field: str, given: int, default: int, limit: int) -> int:
    if given > limit:
        raise InvalidInput(field, f"{given} is more than {limit}")
    return given or default
