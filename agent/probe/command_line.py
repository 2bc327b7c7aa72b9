"""Reads command lines, which live in memory that a process can make unreadable for ever.

/proc/PID/cmdline is read from the process's own pages.  A hostile process can have put them on
a file system that it serves itself, and whoever reads them then waits until it answers.  So
each is read in a thread that is waited for shortly; a few may be stuck at a time, then no
command line is read, which is counted, until one of those processes ends.
"""

import contextlib
import os
import threading
from typing import Final

from sockwarden.agent.probe.procfs import ProcessDirectory

WAIT_SECONDS: Final = 0.05
MAX_STUCK: Final = 8
MAX_BYTES: Final = 4_096
MAX_ARGUMENTS: Final = 64


class CommandLines:
    """`unread` counts the command lines that were given up."""

    def __init__(self) -> None:
        self.unread = 0
        self._stuck: list[_Reading] = []

    def read(self, process: ProcessDirectory) -> tuple[str, ...]:
        """The arguments, as far as they fit; empty where they cannot be read in time.

        Raises:
            OSError: the process is gone.
        """
        self._stuck = [reading for reading in self._stuck if reading.is_alive()]
        if len(self._stuck) >= MAX_STUCK:
            self.unread += 1
            return ()
        flags = os.O_RDONLY | os.O_CLOEXEC
        reading = _Reading(os.open("cmdline", flags, dir_fd=process.descriptor))
        reading.start()
        reading.join(WAIT_SECONDS)
        if reading.is_alive():
            self.unread += 1
            self._stuck.append(reading)
            return ()
        arguments = reading.text.rstrip(b"\0").split(b"\0")[:MAX_ARGUMENTS]
        return tuple(a.decode("utf-8", "backslashreplace") for a in arguments if arguments != [b""])


class _Reading(threading.Thread):
    """Owns the descriptor, and ends with the process at the latest."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(name="command line", daemon=True)
        self.text = b""
        self._descriptor = descriptor

    def run(self) -> None:
        try:
            with contextlib.suppress(OSError):
                self.text = os.read(self._descriptor, MAX_BYTES)
        finally:
            os.close(self._descriptor)
