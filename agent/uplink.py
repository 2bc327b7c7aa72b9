"""The uplink: from the spool to a collector and its acknowledgements back.

What it promises
----------------
* Alerts go out in the order of their sequence, in batches of up to 500 or of what came within
  50 ms, at most as many unacknowledged as the collector's window says.
* An alert leaves the spool only when the collector said that it is durable there.  After any
  failure sending goes on behind the last acknowledgement: at least once, in order.
* Nothing here ever blocks the thread that appends to the spool.

How it works: one thread connects, reads the collector's answers and waits out failures; gRPC's
own thread pulls the requests out of `_Session.requests`.  The collectors are tried in turn;
after a round of failures the pause grows exponentially, with jitter, so that a fleet does
not come back all at once.

The channel is TLS 1.3 with both ends' certificates, or, when the configuration says
`insecure_loopback`, plaintext that does not leave the host.
"""

import logging
import os
import random
import resource
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

import grpc

from sockwarden import __version__
from sockwarden.agent import wire
from sockwarden.agent.config import Config
from sockwarden.agent.config import Uplink as UplinkSettings
from sockwarden.agent.spool import Spool
from sockwarden.daemon import tls
from sockwarden.daemon.config import Address
from sockwarden.daemon.journal import Event, say
from sockwarden.proto import limits
from sockwarden.proto.v1.ingest_pb2 import Batch, DeliverRequest, DeliverResponse, Hello
from sockwarden.proto.v1.ingest_pb2_grpc import IngestServiceStub

HEARTBEAT_S = 10.0
LINGER_S = 0.05
WELCOME_S = 10.0
FLUSH_S = 5.0
# A batch that is not acknowledged for so long: the collector hangs, try the next one.
ACK_S = 30.0
# How quickly a session notices that it has to end.
_TICK_S = 0.25
_PAUSE_FIRST_S = 0.5
_PAUSE_MAX_S = 60.0
_MAX_WINDOW = 64
# Below the limit of a message, with room for what surrounds the alerts.
_BATCH_BYTES = limits.MESSAGE_BYTES * 3 // 4
_REASON_CHARACTERS = 200
# What gRPC's words mean here.
_HINTS = (
    ("Connection refused", " (does the collector run there?)"),
    ("Hostname Verification", " (its certificate is for another name than in uplink.collectors)"),
    ("BAD_SIGNATURE", " (its certificate is not of the authority in uplink.ca)"),
    ("CERTIFICATE_VERIFY_FAILED", " (its certificate is not of the authority in uplink.ca)"),
    ("name not found", " (see uplink.collectors)"),
)

_OPTIONS = [
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Our pauses are the only ones: gRPC must not remember a failure on its own.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", 1 << 16),
]

_log = logging.getLogger(__name__)


def read_credentials(uplink: UplinkSettings) -> tls.Credentials | None:
    """Reads the certificates, before the agent gives up its rights; raises `ConfigError`.

    None: there is no collector, or those on this host are spoken to without TLS.
    """
    if not uplink.collectors or uplink.insecure_loopback:
        return None
    return tls.load(uplink.ca, uplink.certificate, uplink.key)


class Uplink:
    """See the module.

    `heartbeat` is called in gRPC's thread, every 10 s and right after connecting.
    """

    def __init__(
        self,
        config: Config,
        spool: Spool,
        credentials: tls.Credentials | None,
        *,
        heartbeat: Callable[[], wire.Status],
    ) -> None:
        """`credentials` as `read_credentials` gives them."""
        self._agent = config.name
        self._spool = spool
        self._heartbeat = heartbeat
        self._collectors = config.uplink.collectors
        self._credentials: grpc.ChannelCredentials | None = None
        if credentials is not None:
            self._credentials = grpc.ssl_channel_credentials(
                credentials.ca, credentials.key, credentials.certificate
            )
        else:
            for collector in self._collectors:
                tls.refuse_remote(collector, "uplink.insecure_loopback")
        self._stopping = threading.Event()
        self._flush_until_s = 0.0
        self._session: _Session | None = None
        self._connected = False
        self._said = ""
        self._progress = 0
        self._counters = {
            "uplink_sessions": 0,
            "uplink_failures": 0,
            "uplink_batches": 0,
            "uplink_sent": 0,
        }
        self._thread = threading.Thread(target=self._run, name="uplink", daemon=True)

    @property
    def progress(self) -> int:
        """Grows while the uplink is well, also where no collector can be reached."""
        return self._progress

    @property
    def connected(self) -> bool:
        return self._connected

    @property
    def counters(self) -> dict[str, int]:
        return dict(self._counters)

    def start(self) -> None:
        if not self._collectors:
            say(_log, logging.WARNING, "no collector is configured: alerts stay in the spool")
        elif self._credentials is None:
            say(
                _log,
                logging.WARNING,
                "development mode: alerts go to collectors on this host without TLS",
                Event.DEVELOPMENT_MODE,
            )
        self._thread.start()

    def stop(self, flush_s: float = FLUSH_S) -> None:
        """Sends what there is, for at most `flush_s` where a collector is connected, and ends."""
        self._flush_until_s = time.monotonic() + flush_s
        self._stopping.set()
        if not self._thread.is_alive():
            return
        self._thread.join(flush_s)
        session = self._session
        if self._thread.is_alive() and session is not None:
            session.cancel()
        self._thread.join()

    # The thread.

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            if not self._collectors:
                self._pause(_PAUSE_MAX_S)
                continue
            address = self._collectors[failures % len(self._collectors)]
            if self._deliver_to(address):
                failures = 0
            failures += 1
            rounds = failures // len(self._collectors)
            if rounds:
                limit_s = min(_PAUSE_MAX_S, _PAUSE_FIRST_S * 2.0 ** min(rounds - 1, 10))
                self._pause(random.uniform(limit_s / 4, limit_s))  # noqa: S311 - spreads load

    def _pause(self, pause_s: float) -> None:
        end_s = time.monotonic() + pause_s
        while (left_s := end_s - time.monotonic()) > 0:
            self.tick()
            if self._stopping.wait(min(left_s, _TICK_S)):
                return

    def _deliver_to(self, address: Address) -> bool:
        """One session; returns whether the collector welcomed us."""
        if self._credentials is None:
            channel = grpc.insecure_channel(address, _OPTIONS)
        else:
            channel = grpc.secure_channel(address, self._credentials, _OPTIONS)
        session = _Session(self, self._spool, self._agent)
        self._session = session
        try:
            for response in session.open(channel):
                session.receive(response)
                if response.HasField("welcome"):
                    self._connected = True
                    self._counters["uplink_sessions"] += 1
                    self._said = ""
                    say(
                        _log,
                        logging.INFO,
                        f"connected to collector {address}",
                        Event.UPLINK_CONNECTED,
                        COLLECTOR=address,
                    )
            reason = "the collector ended the stream"
        except grpc.RpcError as error:
            reason = session.reason or _reason(error)
        except ProtocolError as error:
            reason = str(error)
        finally:
            self._session = None
            self._connected = False
            session.cancel()
            channel.close()
        if not self._stopping.is_set():
            self._counters["uplink_failures"] += 1
            self._lost(address, reason)
        return session.welcomed

    def _lost(self, address: Address, reason: str) -> None:
        """Says each reason once until a connection succeeds."""
        text = f"collector {address}: {reason}; alerts wait in the spool"
        if text != self._said:
            self._said = text
            say(_log, logging.WARNING, text, Event.UPLINK_LOST, COLLECTOR=address)

    # What a session asks of its uplink.

    def tick(self) -> None:
        self._progress += 1

    def count(self, alerts: int) -> None:
        self._counters["uplink_batches"] += 1
        self._counters["uplink_sent"] += alerts

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    @property
    def flushing(self) -> bool:
        return time.monotonic() < self._flush_until_s

    def heartbeat(self) -> DeliverRequest:
        spool = self._spool
        message = wire.heartbeat(self._heartbeat(), {**spool.counters, **self._counters})
        message.time.FromNanoseconds(time.time_ns())
        message.spool_depth = spool.depth
        message.spool_bytes = spool.size_bytes
        usage = resource.getrusage(resource.RUSAGE_SELF)
        message.cpu_ns = int((usage.ru_utime + usage.ru_stime) * 1e9)
        message.memory_bytes = _resident_bytes()
        return DeliverRequest(heartbeat=message)


class ProtocolError(Exception):
    """The collector said what ingest.proto does not allow it to say here."""


class _Session:
    """One stream.  gRPC's thread runs `requests`, the uplink's thread everything else."""

    def __init__(self, uplink: Uplink, spool: Spool, agent: str) -> None:
        self._uplink = uplink
        self._spool = spool
        self._agent = agent
        self._changed = threading.Condition()
        self._call: grpc.Call | None = None
        self._ended = False
        self._window = 0
        self._batch_limit = 0
        # Unacknowledged batches: last alert, up to where there is nothing else, when sent.
        self._flying: deque[tuple[int, int, float]] = deque()
        self._sent = 0
        self.welcomed = False
        self.reason = ""

    def open(self, channel: grpc.Channel) -> Iterator[DeliverResponse]:
        self._call = call = IngestServiceStub(channel).Deliver(self.requests())
        return iter(call)

    def cancel(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        if self._call is not None:
            self._call.cancel()  # type: ignore[no-untyped-call]

    # Answers.

    def receive(self, response: DeliverResponse) -> None:
        content = response.WhichOneof("content")
        if content == "welcome" and not self.welcomed:
            self._welcome(response)
        elif content == "ack" and self.welcomed:
            self._acknowledge(response.ack.sequence)
        else:
            raise ProtocolError(f"the collector sent an unexpected {content or 'message'}")

    def _welcome(self, response: DeliverResponse) -> None:
        welcome = response.welcome
        last = self._spool.last_sequence
        if welcome.sequence > last:
            # Our disk lost what was durable.  Their numbers must not mean other alerts.
            self._spool.skip_to(welcome.sequence)
            say(
                _log,
                logging.ERROR,
                f"the collector holds alerts up to {welcome.sequence}, the spool only gave away "
                f"{last}: the spool lost alerts; numbering goes on behind the collector's",
                Event.LOST,
            )
        else:
            self._spool.ack(welcome.sequence)
        with self._changed:
            self._sent = self._spool.acknowledged_sequence
            self._window = min(max(welcome.window, 1), _MAX_WINDOW)
            self._batch_limit = min(max(welcome.batch_limit, 1), limits.BATCH_ALERTS)
            self.welcomed = True
            self._changed.notify_all()

    def _acknowledge(self, sequence: int) -> None:
        freed = 0
        with self._changed:
            if sequence > self._sent:
                raise ProtocolError(f"the collector acknowledged {sequence}, which was not sent")
            while self._flying and self._flying[0][0] <= sequence:
                _, freed, _ = self._flying.popleft()
            self._changed.notify_all()
        self._spool.ack(max(freed, sequence))

    # Requests.

    def requests(self) -> Iterator[DeliverRequest]:
        yield DeliverRequest(hello=self._hello())
        if not self._await_welcome():
            return
        heartbeat_s = time.monotonic()
        while not self._over():
            self._uplink.tick()
            now_s = time.monotonic()
            if now_s >= heartbeat_s:
                heartbeat_s = now_s + HEARTBEAT_S
                yield self._uplink.heartbeat()
            if self._has_room(min(_TICK_S, heartbeat_s - now_s)):
                batch = self._next_batch()
                if batch is not None:
                    yield batch

    def _hello(self) -> Hello:
        system = os.uname()
        return Hello(
            agent=self._agent,
            spool=self._spool.number,
            version=wire.cut(__version__, limits.VERSION_BYTES),
            hostname=wire.cut(system.nodename, limits.HOSTNAME_BYTES),
            kernel=wire.cut(system.release, limits.KERNEL_BYTES),
        )

    def _await_welcome(self) -> bool:
        end_s = time.monotonic() + WELCOME_S
        with self._changed:
            while not (self.welcomed or self._ended):
                self._uplink.tick()
                if time.monotonic() > end_s or self._uplink.stopping:
                    self._give_up("no welcome from the collector")
                    return False
                self._changed.wait(_TICK_S)
            return not self._ended

    def _over(self) -> bool:
        """Ended, hung, or stopping with everything delivered or no time left."""
        with self._changed:
            if self._ended:
                return True
            if self._flying and time.monotonic() - self._flying[0][2] > ACK_S:
                self._give_up("the collector does not acknowledge")
                return True
            if not self._uplink.stopping:
                return False
            # In this order: what is pending becomes durable, never the other way round.
            delivered = (
                not self._flying
                and not self._spool.pending
                and self._sent >= self._spool.durable_sequence
            )
            return delivered or not self._uplink.flushing

    def _give_up(self, reason: str) -> None:
        self.reason = reason
        self._ended = True
        if self._call is not None:
            self._call.cancel()  # type: ignore[no-untyped-call]

    def _has_room(self, timeout_s: float) -> bool:
        """Waits for room in the window, then for alerts to fill a batch."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._ended or len(self._flying) < self._window, timeout_s
            )
            if self._ended or len(self._flying) >= self._window:
                return False
            sent = self._sent
        if not self._spool.wait(sent, timeout_s):
            return False
        self._spool.wait(sent + self._batch_limit - 1, LINGER_S)
        return True

    def _next_batch(self) -> DeliverRequest | None:
        part = self._spool.read(self._sent, self._batch_limit)
        batch = Batch()
        size = 0
        last = part.last
        for alert in part.alerts:
            message = wire.alert(alert, self._agent, self._spool.number)
            size += message.ByteSize()
            if size > _BATCH_BYTES and batch.alerts:
                last = batch.alerts[-1].sequence
                break
            batch.alerts.append(message)
        with self._changed:
            self._sent = last
            if batch.alerts:
                self._flying.append((batch.alerts[-1].sequence, last, time.monotonic()))
            idle = not self._flying
        if batch.alerts:
            self._uplink.count(len(batch.alerts))
            return DeliverRequest(batch=batch)
        if idle:
            # Nothing but damage was left there: it need not be read again.
            self._spool.ack(last)
        return None


def _reason(error: grpc.RpcError) -> str:
    """Code and text of the failure in one short line; the text may be a stranger's."""
    code = error.code() if isinstance(error, grpc.Call) else None
    details = error.details() if isinstance(error, grpc.Call) else str(error)
    name = code.name.lower().replace("_", " ") if code is not None else "failed"
    # Where gRPC tells of a chain of errors, the last one is the system's.
    text = (details or "").rpartition("last error: ")[2]
    text = "".join(c if c.isprintable() else " " for c in text)[:_REASON_CHARACTERS]
    return f"{name}: {text}{next((hint for sign, hint in _HINTS if sign in text), '')}"


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
