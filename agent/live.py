"""The loop of a process that watches this host's kernel: rings in, findings out.

It runs without privilege and looks at the rings every `DRAIN_SECONDS`, every `IDLE_SECONDS` where
nothing came for a while, or at once when the probe wakes it above a fill level: a wake-up for
each record would cost the watched programs more than the capture itself.
"""

import select
import time
from collections.abc import Callable

from sockwarden.agent.control import Control
from sockwarden.agent.pipeline import Pipeline
from sockwarden.agent.probe import protocol
from sockwarden.agent.ring import Ring

DRAIN_SECONDS = 0.01
IDLE_SECONDS = 0.05
IDLE_AFTER_SECONDS = 1.0
RECORDS_A_TURN = 4096
REPORT_SECONDS = 1.0


def boot_to_epoch_ns() -> int:
    """What to add to a record's time (CLOCK_BOOTTIME) for the time of day."""
    return time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Live:
    """`step` is called after each turn; it returns False to end."""

    def __init__(
        self,
        control: Control,
        rings: list[Ring],
        pipeline: Pipeline,
        *,
        reload: Callable[[], None] = lambda: None,
        step: Callable[[], bool] = lambda: True,
        uplink_progress: Callable[[], int] | None = None,
    ) -> None:
        self._control = control
        self._rings = rings
        self._pipeline = pipeline
        self._reload = reload
        self._step = step
        self._turns = 0
        self._uplink_progress = uplink_progress or (lambda: self._turns)
        self._reported = 0.0
        self._taken = 0.0  # when the rings last held something

    def run(self) -> None:
        """Until the helper says stop or `step` says no; then once more for what is left."""
        poll = select.poll()
        for ring in self._rings:
            poll.register(ring.fileno(), select.POLLIN)
        poll.register(self._control.fileno(), select.POLLIN)
        self._control.say(protocol.Ready())
        running = True
        while running:
            if not self.turn():
                idle = time.monotonic() - self._taken > IDLE_AFTER_SECONDS
                poll.poll((IDLE_SECONDS if idle else DRAIN_SECONDS) * 1000)
            self._control.listen()
            running = self._obey() and self._step()
            self._report()
        while self.turn():
            pass

    def turn(self) -> int:
        """Takes what the rings hold, up to a bound each; returns the number of records."""
        taken = sum(self._pipeline.drain(ring, RECORDS_A_TURN) for ring in self._rings)
        self._pipeline.expire(time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        self._pipeline.deliver()
        self._turns += 1
        if taken:
            self._taken = time.monotonic()
        return taken

    def _obey(self) -> bool:
        while self._control.orders:
            if isinstance(self._control.orders.popleft(), protocol.Stop):
                return False
            self._reload()
        return True

    def _report(self) -> None:
        now = time.monotonic()
        if now - self._reported < REPORT_SECONDS:
            return
        self._reported = now
        self._pipeline.clock_offset_ns = boot_to_epoch_ns()
        self._control.say(protocol.Progress(drained=self._turns, uplink=self._uplink_progress()))
        self._control.say(protocol.CountersRequest())
