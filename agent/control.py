"""The agent's end of its socket pair with the privileged helper (probe/protocol.py).

The helper is asked, never told: a process's names and the probe's counters.  What else it says
(stop, reload) waits in `orders`.
"""

import select
import socket
import time
from collections import deque
from collections.abc import Callable
from functools import lru_cache

from sockwarden.agent.alert import Process
from sockwarden.agent.probe import protocol

MAX_RINGS = 256
ANSWER_SECONDS = 1.0
CACHED_PROCESSES = 4096


class HelperGoneError(Exception):
    """The helper closed its end: without it nothing is captured any more."""


class Control:
    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self.orders: deque[protocol.Stop | protocol.Reload] = deque()
        self.counters: dict[str, int] = {}
        self.impairments: tuple[str, ...] = ()
        self._processes: dict[tuple[int, int], Process] = {}
        self.process = lru_cache(CACHED_PROCESSES)(self._ask_for_process)

    def fileno(self) -> int:
        return self._socket.fileno()

    def hello(self) -> list[int]:
        """Waits for the helper's first word; returns the descriptors of the rings."""
        data, descriptors, _, _ = socket.recv_fds(
            self._socket, protocol.MAX_PACKET_BYTES, MAX_RINGS
        )
        if not data:
            raise HelperGoneError("the helper ended before it said hello")
        hello = protocol.decode_from_helper(data)
        if not isinstance(hello, protocol.Hello) or hello.rings != len(descriptors):
            raise HelperGoneError("the helper's first word was not a hello with its rings")
        self.impairments = hello.impairments
        return descriptors

    def say(self, packet: protocol.FromAgent) -> None:
        try:
            self._socket.send(protocol.encode(packet))
        except (BrokenPipeError, ConnectionResetError) as error:
            raise HelperGoneError("the helper is gone") from error

    def ignore(self, connection: int) -> None:
        """No byte of it need leave the kernel any more."""
        self.say(protocol.Ignore(connection=connection))

    def listen(self) -> None:
        """Takes in what the helper has said; does not wait."""
        while select.select([self._socket], [], [], 0)[0]:
            self._hear()

    def fresh_counters(self) -> dict[str, int]:
        """The probe's counters as they are now; the last known ones if the helper is silent."""
        self.counters = {}
        self.say(protocol.CountersRequest())
        self._wait_for(lambda: bool(self.counters))
        return self.counters

    def _wait_for(self, known: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + ANSWER_SECONDS
        while not known():
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._socket], [], [], left)[0]:
                return False
            self._hear()
        return True

    def _hear(self) -> None:
        data = self._socket.recv(protocol.MAX_PACKET_BYTES)
        if not data:
            raise HelperGoneError("the helper is gone")
        packet = protocol.decode_from_helper(data)
        if isinstance(packet, protocol.ProcessReply):
            self._processes[packet.pid, packet.start_ns] = Process(
                pid=packet.pid,
                exe=packet.exe,
                uid=packet.uid,
                unit=packet.unit,
                container=packet.container,
            )
        elif isinstance(packet, protocol.CountersReply):
            self.counters = packet.counters
            self.impairments = packet.impairments
        elif isinstance(packet, protocol.Stop | protocol.Reload):
            self.orders.append(packet)

    def _ask_for_process(self, pid: int, start_ns: int) -> Process:
        """Asks at once, while the process still runs; after a second without an answer only
        its number is known."""
        self.say(protocol.ProcessRequest(pid=pid, start_ns=start_ns))
        if self._wait_for(lambda: (pid, start_ns) in self._processes):
            return self._processes.pop((pid, start_ns))
        return Process(pid=pid)
