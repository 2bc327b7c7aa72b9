"""What agents call: one stream each, on which alerts are acknowledged once they are durable.

A stream is read no further while its batch waits for the commit, so a flood waits in its
sender.  Because of that order, and because a stream ends at its first failure, what is
stored of a spool is always the whole of it up to the cursor; Welcome hands that cursor out.
A broken or hostile stream ends with a status that names the field, and no other one.
"""

import asyncio
import logging
import time
from dataclasses import dataclass, field

import grpc

from sockwarden.collector import validate
from sockwarden.collector.answer import Context, Refusal, answer
from sockwarden.collector.async_store import AsyncStore
from sockwarden.collector.auth import agent_of
from sockwarden.collector.config import Limits
from sockwarden.collector.errors import InvalidInput, StoreFull
from sockwarden.collector.store import Sighting
from sockwarden.daemon import journal
from sockwarden.proto import limits
from sockwarden.proto.v1.ingest_pb2 import (
    Ack,
    Batch,
    DeliverRequest,
    DeliverResponse,
    Heartbeat,
    Hello,
    Welcome,
)
from sockwarden.proto.v1.ingest_pb2_grpc import IngestServiceServicer

_log = logging.getLogger(__name__)

# Batches that gRPC's flow control may hold for a stream besides the one being written.
_WINDOW = 4
_HELLO_S = 10.0
# Characters of what an agent sent that the log repeats.
_SAID = 64
# An agent that was quiet may be this far ahead of its rate.
_BURST_S = 5.0


@dataclass(eq=False, slots=True)
class _Stream:
    agent: str
    spool: int
    # Its result says why the stream has to end.
    ended: asyncio.Future[Refusal] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    # When, by the monotonic clock, the alerts so far were due at the allowed rate.
    due_s: float = 0.0

    def end(self, code: grpc.StatusCode, text: str) -> None:
        if not self.ended.done():
            self.ended.set_result(Refusal(code, text))


class Roster:
    """The agents that are known and those that are connected, one stream each."""

    def __init__(self, known: set[str], limit: int) -> None:
        self._known = known
        self._limit = limit
        self._streams: dict[str, _Stream] = {}

    def connected(self, agent: str) -> bool:
        return agent in self._streams

    def __len__(self) -> int:
        return len(self._streams)

    def enter(self, stream: _Stream) -> None:
        """The newest stream of an agent wins: an older one may be a dead connection."""
        if stream.agent not in self._known:
            if len(self._known) >= self._limit:
                raise Refusal(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    f"hello.agent: {self._limit} hosts are known already (limits.hosts)",
                )
            self._known.add(stream.agent)
        if (older := self._streams.get(stream.agent)) is not None:
            _log.warning("%s connected again: its older stream ends", stream.agent)
            older.end(grpc.StatusCode.ABORTED, "the agent connected again")
        self._streams[stream.agent] = stream

    def leave(self, stream: _Stream) -> None:
        if self._streams.get(stream.agent) is stream:
            del self._streams[stream.agent]

    def end_all(self) -> None:
        for stream in self._streams.values():
            stream.end(grpc.StatusCode.UNAVAILABLE, "the collector is stopping")


class Ingest(IngestServiceServicer):
    def __init__(
        self, store: AsyncStore, roster: Roster, allowed: Limits, *, certificates: bool
    ) -> None:
        self._store = store
        self._roster = roster
        self._allowed = allowed
        self._certificates = certificates

    # The generated type knows generators only; gRPC takes a coroutine that reads and writes too.
    async def Deliver(self, _requests: object, context: Context) -> None:  # type: ignore[override]  # noqa: N802
        await answer(context, self._deliver(context))

    async def _deliver(self, context: Context) -> None:
        stream = await self._greet(context)
        try:
            await self._serve(stream, context)
        except InvalidInput as error:
            _refused(stream.agent, f"sent what breaks the protocol: {error}")
            raise
        finally:
            self._roster.leave(stream)

    async def _greet(self, context: Context) -> _Stream:
        try:
            async with asyncio.timeout(_HELLO_S):
                request = await context.read()
        except TimeoutError:
            raise Refusal(grpc.StatusCode.DEADLINE_EXCEEDED, "hello did not come") from None
        if not isinstance(request, DeliverRequest) or not request.HasField("hello"):
            raise InvalidInput("hello", "must be the first message")
        hello: Hello = request.hello
        validate.hello(hello)
        agent = agent_of(context, hello.agent, certificates=self._certificates)
        stream = _Stream(agent, hello.spool)
        self._roster.enter(stream)
        try:
            await self._see(Sighting(agent, time.time_ns(), hello=hello))
            cursor = await self._store.cursor(agent, hello.spool)
            welcome = Welcome(sequence=cursor, window=_WINDOW, batch_limit=limits.BATCH_ALERTS)
            await context.write(DeliverResponse(welcome=welcome))
        except BaseException:
            self._roster.leave(stream)
            raise
        journal.say(
            _log,
            logging.INFO,
            f"{agent} connected, version {hello.version!r}",
            journal.Event.AGENT_CONNECTED,
            AGENT=agent,
        )
        return stream

    async def _serve(self, stream: _Stream, context: Context) -> None:
        while (request := await self._next(stream, context)) is not None:
            if request.HasField("batch"):
                ack = await self._batch(stream, request.batch)
                await context.write(DeliverResponse(ack=ack))
            elif request.HasField("heartbeat"):
                await self._heartbeat(stream, request.heartbeat)
            else:
                raise InvalidInput("content", "neither a batch nor a heartbeat")
        _log.info("%s disconnected", stream.agent)

    async def _next(self, stream: _Stream, context: Context) -> DeliverRequest | None:
        """The next message; None when the agent is done."""
        reading = asyncio.ensure_future(context.read())
        try:
            await asyncio.wait(
                {reading, stream.ended},
                timeout=self._allowed.silence_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if stream.ended.done():
                raise stream.ended.result()
            if not reading.done():
                raise Refusal(
                    grpc.StatusCode.DEADLINE_EXCEEDED,
                    f"no heartbeat for {self._allowed.silence_s:g} s",
                )
            request = reading.result()
        finally:
            reading.cancel()
        return request if isinstance(request, DeliverRequest) else None

    async def _batch(self, stream: _Stream, batch: Batch) -> Ack:
        for number, alert in enumerate(batch.alerts):
            if alert.agent != stream.agent:
                _refused(stream.agent, f"sent an alert of {alert.agent[:_SAID]!r}")
                raise Refusal(
                    grpc.StatusCode.PERMISSION_DENIED,
                    f"batch.alerts[{number}].agent: this stream is for {stream.agent} only",
                )
        delivery = validate.delivery(stream.agent, stream.spool, batch)
        await self._pace(stream, len(delivery.alerts))
        await self._store.deliver(delivery)
        return Ack(sequence=delivery.alerts[-1].sequence)

    async def _pace(self, stream: _Stream, alerts: int) -> None:
        now_s = time.monotonic()
        earliest_s = now_s - _BURST_S
        stream.due_s = max(stream.due_s, earliest_s) + alerts / self._allowed.alerts_per_second
        if stream.due_s > now_s:
            await asyncio.wait({stream.ended}, timeout=stream.due_s - now_s)

    async def _heartbeat(self, stream: _Stream, beat: Heartbeat) -> None:
        validate.heartbeat(beat)
        await self._see(Sighting(stream.agent, time.time_ns(), heartbeat=beat))

    async def _see(self, sighting: Sighting) -> None:
        """A full store is no reason to lose the stream of a host that has no alert."""
        try:
            await self._store.see(sighting)
        except StoreFull as error:
            _log.warning("heartbeat of %s not kept: %s", sighting.agent, error)


def _refused(agent: str, what: str) -> None:
    journal.say(_log, logging.WARNING, f"{agent} {what}", journal.Event.AGENT_REFUSED, AGENT=agent)
