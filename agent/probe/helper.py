"""The privileged helper: the main process of an agent.

It holds what needs privilege and nothing that is dangerous to hold with it.  It keeps the
probe attached, has TLS libraries found (in a thread of its own), names processes, starts the
unprivileged agent and starts it again when it dies.  It never looks at a captured byte, and
neither LLVM nor a parser of foreign files is ever in it.

While the agent is dead capture pauses: the ring fills, the kernel counts what it loses, and
`agent_down_ms` says for how long.  When the helper dies, however it does, nothing stays
attached, for links live in its descriptors; and the agent ends, for its socket closes.

Both `sockwarden agent` and `sockwarden watch` are this with another worker command:

    Helper(probe, [sys.executable, "-m", "sockwarden.agent.worker", ...]).run()

SIGTERM and SIGINT stop it, SIGHUP is handed on as `Reload`.
"""

import contextlib
import logging
import os
import resource
import selectors
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import monotonic_ns
from typing import Final, Protocol

from sockwarden.agent.probe import protocol, tls
from sockwarden.agent.probe.attached import Attachment
from sockwarden.agent.probe.discover import Discovery
from sockwarden.agent.probe.elf_reader import ElfReader, ElfReaderError
from sockwarden.agent.probe.naming import Namer
from sockwarden.agent.probe.new_mappings import NewMappings
from sockwarden.agent.probe.protocol import FromAgent
from sockwarden.agent.probe.worker import HostileError, Worker
from sockwarden.daemon import notify
from sockwarden.daemon.journal import Event, say

SECOND_NS: Final = 1_000_000_000
TICK_SECONDS: Final = 0.25
THROTTLED_TICK_SECONDS: Final = 0.02
BURST_SECONDS: Final = 0.005
STOP_LIMIT_NS: Final = 10 * SECOND_NS
GONE_LIMIT_NS: Final = 5 * SECOND_NS
FIRST_RESTART_NS: Final = SECOND_NS // 4
LAST_RESTART_NS: Final = 10 * SECOND_NS
WELL_AFTER_NS: Final = 60 * SECOND_NS  # then a death is a first one again
SWEEP_EVERY_NS: Final = 30 * SECOND_NS
STALLED_AFTER_NS: Final = 15 * SECOND_NS
MAX_IMPAIRMENTS: Final = 16
MAX_DESCRIPTORS: Final = 16_384  # of probes at most: agent/probe/attached.py

# Exit statuses of the agent that a new start would not change.
STATUS_DONE: Final = 0
STATUS_BAD_INPUT: Final = 2
STATUS_FAILED: Final = 1

_log = logging.getLogger(__name__)


class Probe(Protocol):
    """What the helper holds of the kernel's side (agent/probe/session.py)."""

    @property
    def rings(self) -> Sequence[int]: ...
    @property
    def impairments(self) -> Sequence[str]: ...
    @property
    def watches_tls(self) -> bool: ...
    def attach_library(
        self, library: tls.Library, offsets: Mapping[str, int], file: int
    ) -> Attachment: ...
    def leave_out(self, pid: int) -> None:
        """The process `pid` is one of ours: it is not watched."""

    def take_in(self, pid: int) -> None:
        """It ended, and its number may become another's."""

    def counters(self) -> dict[str, int]: ...
    def ignore(self, connection: int) -> None: ...
    def sweep(self) -> None:
        """Frees what dead processes left in the kernel's tables."""

    def close(self) -> None: ...


class DiscoveryThread(threading.Thread):
    """Runs the passes; a file or process that holds one up holds up nothing else."""

    def __init__(self, discovery: Discovery) -> None:
        super().__init__(name="discovery", daemon=True)
        self.discovery = discovery
        self.failed: str | None = None
        self.passed_ns = monotonic_ns()
        self.caught_up = False  # every process was looked at
        self._ending = threading.Event()

    def run(self) -> None:
        try:
            while not self._ending.is_set():
                self.discovery.run_pass()
                self.passed_ns = monotonic_ns()
                self.caught_up = self.discovery.caught_up
                self._attend()
        except ElfReaderError as error:
            self.failed = f"TLS is not watched: {error}"
            _log.error("%s", self.failed)
        except Exception:
            self.failed = "TLS libraries are not looked for any more; see the log"
            _log.exception("discovery ended")

    def _attend(self) -> None:
        """Until the next pass is due.  What is told is told in bursts: they are awaited."""
        due_ns = self.passed_ns + int(TICK_SECONDS * SECOND_NS)
        while not self._ending.wait(BURST_SECONDS) and not self.discovery.backlog:
            left_ns = due_ns - monotonic_ns()
            if left_ns <= 0:
                return
            self.discovery.attend(left_ns / SECOND_NS)

    def stop(self) -> None:
        self._ending.set()
        self.join(timeout=5)

    @property
    def impairment(self) -> str | None:
        if self.failed:
            return self.failed
        if monotonic_ns() - self.passed_ns > STALLED_AFTER_NS:
            return "looking for TLS libraries hangs: new processes are not watched"
        return self.discovery.impairment


class Helper:
    """Runs the agent over a probe until a signal or the agent itself ends it.

    Args:
        probe: loaded and attached; closed at the end.
        worker_command: the unprivileged process; `--control FD` is appended.
        restart: whether a worker that died is started again.
        on_ready: told, once the worker runs and every process was looked at, what is watched.
    """

    def __init__(
        self,
        probe: Probe,
        worker_command: Sequence[str],
        *,
        restart: bool = True,
        on_ready: Callable[[str], object] = notify.ready,
    ) -> None:
        self._probe, self._command = probe, tuple(worker_command)
        self._restart, self._on_ready = restart, on_ready
        self._ready_due = False
        self._namer = Namer()
        self._reader = ElfReader()
        self._discovery: DiscoveryThread | None = None
        self._new_mappings: NewMappings | None = None
        self._worker: Worker | None = None
        self._selector = selectors.DefaultSelector()
        self._counters = {"agent_restarts": 0, "agent_down_ms": 0, "agent_requests_refused": 0}
        self._stop_by_ns: int | None = None
        self._down_since_ns = self._start_at_ns = monotonic_ns()
        self._backoff_ns = FIRST_RESTART_NS
        self._progress = (-1, -1)
        self._swept_ns = monotonic_ns()
        # Attaching silences descriptor 2 for moments: what starts then is to have the real one.
        self._stderr = os.dup(2)
        self._status: int | None = None

    def run(self) -> int:
        """Returns the exit status; must be called in the main thread, once."""
        if self._probe.watches_tls:
            self._new_mappings = NewMappings()
            discovery = Discovery(self._reader, self._probe.attach_library, self._new_mappings.wait)
            self._discovery = DiscoveryThread(discovery)
            self._discovery.start()
        _allow_descriptors()
        self._probe.leave_out(os.getpid())
        with self._signals(), self._selector:
            try:
                while self._status is None:
                    self._turn()
            finally:
                notify.stopping("stopping")
                self._end_worker()
                if self._discovery:
                    self._discovery.stop()
                if self._new_mappings:
                    self._new_mappings.close()
                self._reader.close()
                self._probe.close()
                os.close(self._stderr)
        return self._status

    def stop(self) -> None:
        """As SIGTERM does: the agent drains, flushes and ends, for which it has a while."""
        if self._stop_by_ns is None:
            self._stop_by_ns = monotonic_ns() + STOP_LIMIT_NS
            self._tell(protocol.Stop())

    def reload(self) -> None:
        """As SIGHUP does."""
        notify.reloading()
        self._tell(protocol.Reload())

    def _turn(self) -> None:
        now = monotonic_ns()
        if self._worker is None:
            if self._stop_by_ns is not None:
                self._status = STATUS_DONE
                return
            if now >= self._start_at_ns:
                self._start_worker()
        elif self._stop_by_ns is not None and now > self._stop_by_ns:
            _log.error("the agent did not stop in time and is killed")
            self._end_worker()
            self._status = STATUS_FAILED
            return
        for key, _ in self._selector.select(self._tick_seconds()):
            if callable(key.data):
                key.data()
        self._serve()
        self._say_ready()
        if now - self._swept_ns > SWEEP_EVERY_NS:
            self._probe.sweep()
            self._swept_ns = now

    def _tick_seconds(self) -> float:
        worker = self._worker
        if worker is None:
            wait = (self._start_at_ns - monotonic_ns()) / SECOND_NS
            return max(0.0, min(TICK_SECONDS, wait))
        return THROTTLED_TICK_SECONDS if worker.throttled else TICK_SECONDS

    def _serve(self) -> None:
        """Takes what the agent says and answers, as fast as `Worker` lets it."""
        worker = self._worker
        if worker is None:
            return
        worker.refill()
        try:
            worker.flush()
            for request in worker.requests():
                self._answer(worker, request)
        except HostileError as error:
            _log.error("the agent is ended: %s", error)
            self._bury()
            return
        # Its words are waited for unless they are left in the socket, which would spin.
        watched = worker.control in self._selector.get_map()
        if worker.throttled and watched:
            self._selector.unregister(worker.control)
        elif not worker.throttled and not watched:
            self._selector.register(worker.control, selectors.EVENT_READ)
        # It closes its end when it ends, and its exit status is what counts.
        gone_ns = worker.gone_since_ns
        if gone_ns is not None and monotonic_ns() - gone_ns > GONE_LIMIT_NS:
            _log.error("the agent is ended: it does not listen any more")
            self._bury()

    def _answer(self, worker: Worker, request: FromAgent) -> None:
        match request:
            case protocol.ProcessRequest(pid=pid, start_ns=start_ns):
                worker.send(self._namer.name(pid, start_ns))
            case protocol.CountersRequest():
                counters, impairments = self.counters(), self.impairments()
                worker.send(protocol.CountersReply(counters=counters, impairments=impairments))
            case protocol.Ignore(connection=connection):
                self._probe.ignore(connection)
            case protocol.Progress(drained=drained, uplink=uplink):
                if drained > self._progress[0] and uplink > self._progress[1]:
                    notify.watchdog()
                    self._progress = (drained, uplink)
            case protocol.Ready():
                self._ready_due = True

    def _say_ready(self) -> None:
        """Not before every process was looked at: who is told may start traffic at once."""
        discovery = self._discovery
        if self._ready_due and (not discovery or discovery.caught_up or discovery.failed):
            self._ready_due = False
            self._on_ready(self._summary())

    def counters(self) -> dict[str, int]:
        """The probe's and the helper's own, by name."""
        own = dict(self._counters)
        if self._worker:
            own["agent_requests_refused"] += self._worker.refused
        else:
            own["agent_down_ms"] += (monotonic_ns() - self._down_since_ns) // 1_000_000
        found = self._discovery.discovery.counters if self._discovery else {}
        return {
            **self._probe.counters(),
            **found,
            **own,
            "elf_reader_restarts": self._reader.restarts,
            "command_lines_unread": self._namer.command_lines.unread,
        }

    def impairments(self) -> tuple[str, ...]:
        """What is not watched, and why, in sentences."""
        of_discovery = self._discovery.impairment if self._discovery else None
        every = [*self._probe.impairments, *([of_discovery] if of_discovery else [])]
        return tuple(every[:MAX_IMPAIRMENTS])

    def _summary(self) -> str:
        impairments = self.impairments()
        return f"watching, but {impairments[0]}" if impairments else "watching"

    def _start_worker(self) -> None:
        hello = protocol.Hello(rings=len(self._probe.rings), impairments=self.impairments())
        self._worker = worker = Worker(self._command, hello, self._probe.rings, stderr=self._stderr)
        self._probe.leave_out(worker.process.pid)
        self._counters["agent_down_ms"] += (monotonic_ns() - self._down_since_ns) // 1_000_000
        self._progress = (-1, -1)
        self._selector.register(worker.pidfd, selectors.EVENT_READ, self._bury)
        self._selector.register(worker.control, selectors.EVENT_READ)

    def _bury(self) -> None:
        """The agent is dead, or to be: settles what becomes of it."""
        worker = self._worker
        assert worker is not None
        lived_ns = monotonic_ns() - worker.started_ns
        status = self._end_worker()
        if self._stop_by_ns is not None or status in (STATUS_DONE, STATUS_BAD_INPUT):
            self._status = status if status >= 0 else STATUS_FAILED
            return
        if not self._restart:
            self._status = STATUS_FAILED
            return
        if lived_ns > WELL_AFTER_NS:
            self._backoff_ns = FIRST_RESTART_NS
        how = f"signal {-status}" if status < 0 else f"status {status}"
        wait_ms = self._backoff_ns // 1_000_000
        text = f"the agent died ({how}) and is started again in {wait_ms} ms"
        say(_log, logging.ERROR, text, Event.CHILD_FAILED, STATUS=status)
        self._start_at_ns = monotonic_ns() + self._backoff_ns
        self._backoff_ns = min(2 * self._backoff_ns, LAST_RESTART_NS)
        self._counters["agent_restarts"] += 1

    def _end_worker(self) -> int:
        worker, self._worker = self._worker, None
        if worker is None:
            return STATUS_DONE
        for watched in (worker.pidfd, worker.control):
            with contextlib.suppress(KeyError):
                self._selector.unregister(watched)
        self._down_since_ns = monotonic_ns()
        self._counters["agent_requests_refused"] += worker.refused
        self._probe.take_in(worker.process.pid)
        return worker.close()

    def _tell(self, packet: protocol.FromHelper) -> None:
        if self._worker:
            try:
                self._worker.send(packet)
            except HostileError:
                self._bury()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Signals arrive in the loop, as bytes."""
        reading, writing = socket.socketpair()
        with reading, writing:
            reading.setblocking(False)
            writing.setblocking(False)
            actions = {
                signal.SIGTERM: self.stop,
                signal.SIGINT: self.stop,
                signal.SIGHUP: self.reload,
            }

            def act() -> None:
                for number in reading.recv(64):
                    actions[signal.Signals(number)]()

            before = {number: signal.signal(number, lambda *_: None) for number in actions}
            wakeup = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
            self._selector.register(reading, selectors.EVENT_READ, act)
            try:
                yield
            finally:
                signal.set_wakeup_fd(wakeup)
                for number, handler in before.items():
                    signal.signal(number, handler)


def _allow_descriptors() -> None:
    """Each probe at a TLS function is held by one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(MAX_DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
