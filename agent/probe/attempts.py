"""Calls that a hostile process, or a dead file server, could hold up for ever.

Opening a file may wait for whoever serves its file system, and an overlay hides whose that is;
reading a process's mappings waits for that process's memory to be free.  So each such call is made
in a thread that is waited for shortly.  What is stuck then is given up, and its thread ends when
the kernel lets it go; a few may be stuck at a time, then no more calls are made until one is free.
"""

import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVar

WAIT_SECONDS: Final = 1.0
MAX_STUCK: Final = 16

_Result = TypeVar("_Result")


class StuckError(Exception):
    """The call was not answered in time, or too many others were not."""


class Attempts:
    """`given_up` counts the calls that were not answered, and those not made because of them."""

    def __init__(self, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self.given_up = 0
        self._wait_seconds = wait_seconds
        self._stuck: list[threading.Thread] = []

    def __call__(
        self, call: Callable[[], _Result], undo: Callable[[_Result], object] = lambda _: None
    ) -> _Result:
        """What `call` returns or raises; `undo` frees what came too late.

        Raises:
            StuckError: it was given up.
        """
        self._stuck = [attempt for attempt in self._stuck if attempt.is_alive()]
        if len(self._stuck) >= MAX_STUCK:
            self.given_up += 1
            raise StuckError(f"{MAX_STUCK} files or processes hang already")
        attempt = _Attempt(call, undo)
        attempt.start()
        attempt.join(self._wait_seconds)
        if attempt.give_up():
            self.given_up += 1
            self._stuck.append(attempt)
            raise StuckError(f"no answer within {self._wait_seconds:g} s")
        return attempt.result()


class _Attempt(threading.Thread, Generic[_Result]):
    def __init__(self, call: Callable[[], _Result], undo: Callable[[_Result], object]) -> None:
        super().__init__(name="attempt", daemon=True)
        self._call, self._undo = call, undo
        self._deciding = threading.Lock()
        self._given_up = False
        self._results: list[_Result] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            result = self._call()
        except BaseException as error:
            self._error = error
            return
        with self._deciding:
            if not self._given_up:
                self._results.append(result)
                return
        self._undo(result)

    def give_up(self) -> bool:
        """False: it was answered."""
        with self._deciding:
            self._given_up = not self._results and self._error is None
        return self._given_up

    def result(self) -> _Result:
        if self._error is not None:
            raise self._error
        return self._results[0]
