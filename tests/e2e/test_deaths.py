"""Processes of a running agent are killed: the watched go on unharmed, and what can comes back."""

import ctypes
import errno
import json
import os
import platform
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import others
import pytest
from others import Other
from patience import patient
from watching import family
from websockets.sync.client import ClientConnection, connect

from sockwarden.cli.demo.stage import Stage

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="eBPF needs root"),
]

INJECTION = "x' UNION SELECT card, pin FROM customers --"
DEADLINE_SECONDS = patient(30)
BPF_PROG_GET_FD_BY_ID = 13  # linux/bpf.h

_numbers = count(1)


class Fleet:
    """A collector, an agent, and a server that knows nothing of them."""

    def __init__(self, stage: Stage, server: Other) -> None:
        self.stage, self.server = stage, server

    @property
    def helper(self) -> int:
        return next(pid for pid in self.stage.pids if self._command(pid, "sockwarden.agent"))

    def child(self, module: str) -> int | None:
        """The helper's child that runs this module."""
        children = family(self.helper)[1:]
        return next((pid for pid in children if self._command(pid, module)), None)

    def _command(self, pid: int, module: str) -> bool:
        try:
            return module.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False

    def open(self, path: str) -> ClientConnection:
        return connect(f"ws://127.0.0.1:{self.server.port}{path}", proxy=None)

    def attack(self) -> str:
        path = f"/attack/{next(_numbers)}"
        with self.open(path) as connection:
            connection.send(INJECTION)
            assert connection.recv() == INJECTION
        return path

    def alerts(self, path: str) -> list[dict[str, Any]]:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "sockwarden.cli", "alerts", "list", "--json",
             "--collector", self.stage.query_address],
            capture_output=True, check=False, text=True, timeout=patient(20),
        )  # fmt: skip
        every = (
            [json.loads(line) for line in done.stdout.splitlines()] if not done.returncode else []
        )
        return [alert for alert in every if path in json.dumps(alert)]

    def sees_attacks(self) -> bool:
        path = self.attack()
        return until(lambda: bool(self.alerts(path)), seconds=patient(2))


def until(condition: Callable[[], bool], seconds: float = DEADLINE_SECONDS) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    stage = Stage()
    try:
        with others.python("threads.py", "127.0.0.1", 0) as server:
            stage.start_collector()
            stage.start_agent()
            fleet = Fleet(stage, server)
            assert until(fleet.sees_attacks), stage.last_words("agent")
            yield fleet
    finally:
        stage.stop()


def test_the_agent_is_started_again_and_goes_on_with_open_connections(fleet: Fleet) -> None:
    worker = fleet.child("sockwarden.agent.worker")
    assert worker
    with fleet.open("/open-before") as connection:
        os.kill(worker, signal.SIGKILL)
        connection.send("hello")
        assert connection.recv() == "hello"
        assert until(lambda: fleet.child("sockwarden.agent.worker") not in (None, worker))
        assert until(fleet.sees_attacks)
    path = fleet.attack()
    assert until(lambda: len(fleet.alerts(path)) == 1)


def test_the_elf_server_is_started_again(fleet: Fleet, tmp_path: Path) -> None:
    reader = fleet.child("sockwarden.agent.probe.elf_server")
    assert reader
    os.kill(reader, signal.SIGKILL)
    # A program that was never seen makes the helper ask for it.
    program = tmp_path / "sleep"
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o755)
    sleeping = subprocess.Popen([program, "60"])
    try:
        known = (None, reader)
        assert until(lambda: fleet.child("sockwarden.agent.probe.elf_server") not in known)
    finally:
        sleeping.kill()
        sleeping.wait()
    assert until(fleet.sees_attacks)


def test_nothing_is_left_of_a_killed_helper(fleet: Fleet) -> None:
    helper = fleet.helper
    processes = family(helper)
    programs = _programs(helper)
    assert len(programs) > 10
    with fleet.open("/unharmed") as connection:
        os.kill(helper, signal.SIGKILL)
        connection.send("hello")
        assert connection.recv() == "hello"
        assert until(lambda: not any(map(_is_loaded, programs)))
        assert until(lambda: not any(_runs(pid) for pid in processes[1:]))
        connection.send(INJECTION)
        assert connection.recv() == INJECTION


def _runs(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def _programs(pid: int) -> set[int]:
    """The eBPF programs that a process holds, by their number in the kernel."""
    numbers = set()
    for file in Path(f"/proc/{pid}/fdinfo").iterdir():
        for line in file.read_text().splitlines():
            if line.startswith("prog_id:"):
                numbers.add(int(line.split()[1]))
    return numbers


def _is_loaded(number: int) -> bool:
    attributes = struct.pack("=III", number, 0, 0)
    call = {"x86_64": 321, "aarch64": 280}[platform.machine()]
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.syscall(call, BPF_PROG_GET_FD_BY_ID, attributes, len(attributes))
    if descriptor < 0:
        assert ctypes.get_errno() == errno.ENOENT
        return False
    os.close(descriptor)
    return True
