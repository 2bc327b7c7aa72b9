"""The helper over a probe that is none, with agents that behave and agents that do not."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sockwarden.agent.probe import helper as helper_module
from sockwarden.agent.probe import worker as worker_module
from sockwarden.agent.probe.helper import Helper

FAKE = Path(__file__).with_name("fake_agent.py")


class FakeProbe:
    """A ring that is a pipe."""

    watches_tls = False
    impairments = ("sockets are not watched: a test",)

    def __init__(self) -> None:
        self.ignored: list[int] = []
        self.left_out: list[int] = []
        self.closed = False
        self.pipe = os.pipe()

    @property
    def rings(self) -> tuple[int, ...]:
        return self.pipe[:1]

    def leave_out(self, pid: int) -> None:
        self.left_out.append(pid)

    def take_in(self, pid: int) -> None:
        self.left_out.remove(pid)

    def counters(self) -> dict[str, int]:
        return {"captured_bytes": 5}

    def sweep(self) -> None:
        raise AssertionError("not within half a minute")

    def ignore(self, connection: int) -> None:
        self.ignored.append(connection)

    def close(self) -> None:
        self.closed = True
        for descriptor in self.pipe:
            os.close(descriptor)


class Run:
    """A helper with a fake agent; `during` acts beside it and then has it stopped."""

    def __init__(self, directory: Path) -> None:
        self.log = directory / "log"
        self.log.touch()
        self.probe = FakeProbe()
        self.systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.systemd.bind(str(directory / "notify"))
        self.systemd.setblocking(False)
        self.status: int | None = None

    def __call__(self, behaviour: str, during: Callable[["Run"], None], **options: bool) -> int:
        command = [sys.executable, str(FAKE), behaviour, str(self.log)]
        self.helper = Helper(self.probe, command, **options)
        failures: list[BaseException] = []

        def act() -> None:
            try:
                during(self)
            except BaseException as failure:
                failures.append(failure)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

        before = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # should it come too late
        thread = threading.Thread(target=act)
        thread.start()
        try:
            self.status = self.helper.run()
        finally:
            thread.join()
            signal.signal(signal.SIGTERM, before)
        if failures:
            raise failures[0]
        return self.status

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()

    def notified(self) -> list[str]:
        """What systemd was told."""
        told = []
        with contextlib.suppress(BlockingIOError):
            while True:
                told.append(self.systemd.recv(4_096).decode())
        return told

    def wait(self, condition: Callable[[], bool], seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.lines()
            time.sleep(0.01)

    def pids(self) -> list[int]:
        return [int(line.split()[1]) for line in self.lines() if line.startswith("hello")]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    run = Run(tmp_path)
    with run.systemd:
        yield run
    for pid in run.pids():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert run.probe.closed


def test_serves_and_stops(run: Run) -> None:
    def during(run: Run) -> None:
        run.wait(lambda: "CountersReply" in run.lines())
        assert run.probe.left_out == [os.getpid(), *run.pids()]
        os.kill(os.getpid(), signal.SIGHUP)
        run.wait(lambda: "Reload" in run.lines())

    assert run("well", during) == 0
    first, *rest = run.lines()
    assert first.split()[2:] == ["1", "1", "None"]
    assert rest == ["ProcessReply", "CountersReply", "Reload", "Stop"]
    assert run.probe.ignored == [77]
    assert run.probe.left_out == [os.getpid()]
    notified = run.notified()
    assert "READY=1\nSTATUS=watching, but sockets are not watched: a test" in notified
    said = [line.partition("\n")[0] for line in notified]
    # Ready is said once every process was looked at, which may be after the first progress;
    # the watchdog once: only one of the two progressed the second time.
    assert sorted(said[:2]) == ["READY=1", "WATCHDOG=1"]
    assert said[2:] == ["RELOADING=1", "STOPPING=1"]


def test_starts_a_killed_agent_again(run: Run) -> None:
    def during(run: Run) -> None:
        run.wait(lambda: "CountersReply" in run.lines())
        os.kill(run.pids()[0], signal.SIGKILL)
        run.wait(lambda: run.lines().count("CountersReply") == 2)
        counters = run.helper.counters()
        assert counters["agent_restarts"] == 1
        assert counters["agent_down_ms"] >= 250
        assert counters["captured_bytes"] == 5

    assert run("well", during) == 0


def test_does_not_start_again_what_cannot_start(run: Run) -> None:
    assert run("exit2", lambda run: run.wait(lambda: run.probe.closed)) == 2
    assert len(run.pids()) == 1


def test_ends_an_agent_that_talks_nonsense(run: Run) -> None:
    during = lambda run: run.wait(lambda: run.probe.closed)  # noqa: E731
    assert run("ill-typed", during, restart=False) == 1
    assert run.helper.counters()["agent_requests_refused"] == worker_module.MAX_REFUSED
    assert run.probe.ignored == []


def test_holds_back_an_agent_that_takes_no_answers(run: Run) -> None:
    def during(run: Run) -> None:
        run.wait(lambda: "held back" in run.lines())
        os.kill(run.pids()[0], signal.SIGKILL)

    assert run("flood", during, restart=False) == 1


def test_ends_an_agent_that_does_not_listen(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helper_module, "GONE_LIMIT_NS", 100_000_000)
    assert run("deaf", lambda run: run.wait(lambda: run.probe.closed), restart=False) == 1


def test_agent_ends_with_its_helper(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    program = f"""
        import sys
        sys.path.insert(0, {str(FAKE.parent)!r})
        from test_helper import FakeProbe
        from sockwarden.agent.probe.helper import Helper
        command = [sys.executable, {str(FAKE)!r}, "well", {str(log)!r}]
        Helper(FakeProbe(), command).run()
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)]) as process:
        try:
            run = Run.__new__(Run)
            run.log = log
            run.wait(lambda: "CountersReply" in run.lines())
            mapped = Path(f"/proc/{process.pid}/maps").read_text()
            for foreign in ("libLLVM", "libbcc.so", "grpc"):
                assert foreign not in mapped
        finally:
            process.kill()
    run.wait(lambda: "closed" in run.lines())
