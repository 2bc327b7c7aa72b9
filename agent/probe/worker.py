"""The agent's unprivileged process, as the helper sees it: started, spoken with, not trusted.

`command --control FD` is started as its own process group, so that a terminal's signals reach
the helper only, with one end of a SOCK_SEQPACKET pair.  It gets `Hello` and the rings, then
gives up its privileges (agent/probe/privileges.py) before it touches a captured byte.

Whatever it says costs the helper a bounded amount: requests are taken at a bounded rate and
not while an answer waits to be taken, so there is never more than one to keep; what is
ill-typed is refused and counted, and after `MAX_REFUSED` of those it is hostile and to be ended.
"""

import contextlib
import os
import signal
import socket
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from time import monotonic_ns
from typing import Final

import msgspec

from sockwarden.agent.probe import protocol
from sockwarden.agent.probe.protocol import MAX_PACKET_BYTES, FromAgent, FromHelper, Hello

REQUESTS_PER_SECOND: Final = 2_000
MAX_BURST: Final = 2_000
MAX_REFUSED: Final = 64
IGNORE_COST: Final = 400  # requests' worth: it walks the kernel's table of connections
MAX_PENDING: Final = 8  # one answer, and the helper's own words
SECOND_NS: Final = 1_000_000_000

# How systemd is spoken with is for the main process alone.
_WITHHELD: Final = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")


class HostileError(Exception):
    """It keeps saying what no agent says."""


class Worker:
    """A started agent.  `close` ends it for good."""

    def __init__(
        self,
        command: Sequence[str],
        hello: Hello,
        rings: Sequence[int],
        *,
        stderr: int = 2,
        now_ns: Callable[[], int] = monotonic_ns,
    ) -> None:
        self.refused = 0
        self.started_ns = self._filled_ns = now_ns()
        self._now_ns = now_ns
        self._tokens = MAX_BURST
        self.gone_since_ns: int | None = None
        self._pending: deque[bytes] = deque()
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603
                [*command, "--control", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stderr=stderr,
                process_group=0,
                env={name: value for name, value in os.environ.items() if name not in _WITHHELD},
            )
            self.pidfd = os.pidfd_open(self.process.pid)
        self.control.setblocking(False)
        with contextlib.suppress(OSError):  # it is gone already, which its pidfd tells
            socket.send_fds(self.control, [protocol.encode(hello)], list(rings))

    @property
    def throttled(self) -> bool:
        """Whether its requests are left in the socket for now; after its end, for good."""
        return bool(self._pending) or self._tokens < 1 or self.gone_since_ns is not None

    def refill(self) -> None:
        """Lets time pass; to be called more often than once a second."""
        now = self._now_ns()
        earned = (now - self._filled_ns) * REQUESTS_PER_SECOND // SECOND_NS
        if earned:
            self._tokens = min(MAX_BURST, self._tokens + earned)
            self._filled_ns = now

    def requests(self) -> Iterator[FromAgent]:
        """What it says, until there is no more or it said enough for now.

        Raises:
            HostileError: it is to be closed.
        """
        while not self.throttled:
            try:
                packet = self.control.recv(MAX_PACKET_BYTES)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self.gone_since_ns = self._now_ns()
                return
            self._tokens -= 1
            try:
                request = protocol.decode_from_agent(packet)
                if isinstance(request, protocol.Ignore):
                    self._tokens -= IGNORE_COST
                yield request
            except msgspec.MsgspecError as error:
                self.refused += 1
                if self.refused >= MAX_REFUSED:
                    raise HostileError(
                        f"{self.refused} packets refused, the last: {error}"
                    ) from None

    def send(self, packet: FromHelper) -> None:
        """Sends, or keeps what does not fit until `flush`."""
        if len(self._pending) >= MAX_PENDING:
            raise HostileError("it takes no answers")
        self._pending.append(protocol.encode(packet))
        self.flush()

    def flush(self) -> None:
        while self._pending:
            try:
                self.control.send(self._pending[0])
            except BlockingIOError:
                return
            except OSError:
                self._pending.clear()  # it is gone, which its pidfd tells
                return
            self._pending.popleft()

    def close(self) -> int:
        """Kills what is left of it and returns its exit status."""
        self.control.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        status = self.process.wait()
        os.close(self.pidfd)
        return status
