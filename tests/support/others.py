"""Servers that know nothing of Sockwarden, as processes; `SERVERS` holds their programs."""

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from patience import patient

REPOSITORY = Path(__file__).parents[2]
SERVERS = REPOSITORY / "tests" / "e2e" / "servers"
START_SECONDS = patient(20)
STOP_SECONDS = patient(10)


class Other:
    """A process that says in its output when it serves.

    Args:
        ready: a pattern; seen `times` times in the output it means that it serves.  Its first
            group, if there is one, is the port.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        ready: str,
        times: int = 1,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.output = ""
        self.port = 0
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})}, start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        deadline = time.monotonic() + START_SECONDS
        with self._changed:
            while len(re.findall(ready, self.output)) < times:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise AssertionError(f"{command} did not start: {self.output}")
                self._changed.wait(0.1)
        found = re.search(ready, self.output)
        if found and found.groups():
            self.port = int(found[1])

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.output += line.decode(errors="replace")
                self._changed.notify_all()

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(STOP_SECONDS)
        self._end()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(STOP_SECONDS)
        self._end()

    def _end(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self._reader.join(STOP_SECONDS)
        self.process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, f"nobody listens on {port}"
            time.sleep(0.01)
        else:
            return


def python(program: str, *arguments: object, interpreter: str = sys.executable) -> Other:
    """A program of `SERVERS`; it prints its port."""
    command = [interpreter, "-P", SERVERS / program, *map(str, arguments)]
    return Other(command, r"(?m)^listening on (\d+)$")


def node_with_ws() -> str | None:
    node = shutil.which("node")
    folder = REPOSITORY / "build" / "node" / "node_modules" / "ws"
    return node if node and folder.is_dir() else None


def node(*arguments: object, executable: str) -> Other:
    return Other(
        [executable, SERVERS / "echo.cjs", *map(str, arguments)],
        r"(?m)^listening on (\d+)$",
        environment={"NODE_PATH": str(REPOSITORY / "build" / "node" / "node_modules")},
    )


def server_program(name: str) -> str | None:
    """nginx or lighttpd, which the set-up unpacks beside the system."""
    unpacked = REPOSITORY / "build" / name / "usr" / "sbin" / name
    return str(unpacked) if unpacked.exists() else shutil.which(name, path="/usr/sbin:/usr/bin")
