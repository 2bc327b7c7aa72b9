"""A process is named by pid and start time, and by nothing else."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sockwarden.agent.probe import command_line, naming
from sockwarden.agent.probe.command_line import CommandLines
from sockwarden.agent.probe.naming import CACHED_NS, Namer, look_up, unit_and_container
from sockwarden.agent.probe.procfs import TICK_NS, ProcessDirectory, filesystem_types

HEX64 = "3f" * 32


def start_ns(pid: int) -> int:
    with ProcessDirectory(pid) as process:
        return process.stat().start_ticks * TICK_NS


def test_names_this_process() -> None:
    reply = look_up(os.getpid(), start_ns(os.getpid()) + 1, CommandLines())  # within the tick
    assert reply is not None
    assert reply.exe == str(Path(sys.executable).resolve())
    assert reply.uid == os.geteuid()
    assert reply.command_line[0]


def test_another_start_time_is_another_process() -> None:
    assert look_up(os.getpid(), start_ns(os.getpid()) - TICK_NS, CommandLines()) is None
    reply = Namer().name(os.getpid(), 5)
    assert (reply.exe, reply.uid, reply.command_line) == (None, None, ())


@pytest.mark.parametrize("pid", [0, -1, 2**63, 4_194_304])
def test_no_process(pid: int) -> None:
    assert look_up(pid, 0, CommandLines()) is None


def test_bounded_command_line_and_foreign_bytes() -> None:
    arguments = [b"/bin/sh", b"-c", b"echo ready; read x", b"\xff\xfe", *[b"0"] * 3_000]
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments, stdin=pipe, stdout=pipe) as child:
        assert child.stdout
        child.stdout.readline()
        try:
            reply = look_up(child.pid, start_ns(child.pid), CommandLines())
        finally:
            child.kill()
    assert reply is not None
    assert reply.command_line[3] == "\\xff\\xfe"
    assert len(reply.command_line) == command_line.MAX_ARGUMENTS


def test_what_was_known_outlives_the_process_and_the_cache_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(naming, "MAX_CACHED", 1)
    now = 0
    namer = Namer(lambda: now)
    with subprocess.Popen(["/bin/sleep", "100"]) as child:
        started = start_ns(child.pid)
        known = namer.name(child.pid, started)
        child.kill()
    assert known.exe is not None
    now = CACHED_NS + 1
    assert namer.name(child.pid, started) == known
    namer.name(os.getpid(), start_ns(os.getpid()))
    assert namer.name(child.pid, started).exe is None


@pytest.mark.parametrize(
    ("cgroup", "unit", "container"),
    [
        ("0::/system.slice/app.service\n", "app.service", None),
        ("9:name=systemd:/system.slice/a\\x2db.service\n5:cpu:/\n0::/\n", "a-b.service", None),
        (
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/chat.service",
            "chat.service",
            None,
        ),
        (f"0::/system.slice/docker-{HEX64}.scope", f"docker-{HEX64}.scope", HEX64),
        (f"12:pids:/docker/{HEX64}\n1:name=systemd:/docker/{HEX64}\n", None, HEX64),
        (
            f"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{HEX64}.scope",
            f"cri-containerd-{HEX64}.scope",
            HEX64,
        ),
        (f"4:memory:/kubepods/burstable/pod77/{HEX64}", None, HEX64),
        (
            f"0::/system.slice/containerd.service/kubepods:cri-containerd:{HEX64}",
            "containerd.service",
            HEX64,
        ),
        (f"0::/machine.slice/libpod-{HEX64}.scope/container", f"libpod-{HEX64}.scope", HEX64),
        (f"0::/machine.slice/libpod-conmon-{HEX64}.scope", f"libpod-conmon-{HEX64}.scope", None),
        (
            "0::/machine.slice/systemd-nspawn@web.service/payload/system.slice/nginx.service",
            "nginx.service",
            "web",
        ),
        ("0::/machine.slice/machine-we\\x2db.scope", "machine-we-b.scope", "we-b"),
        ("0::/lxc.payload.web/init.scope", "init.scope", "web"),
        ("3:cpu:/lxc/web", None, "web"),
        ("0::/\n", None, None),
        ("nonsense", None, None),
    ],
)
def test_control_groups(cgroup: str, unit: str | None, container: str | None) -> None:
    assert unit_and_container(cgroup) == (unit, container)


def test_file_system_types() -> None:
    lines = b"36 35 254:0 / / rw - ext4 /dev/vda rw\n"
    lines += b"40 36 0:300 / /m\\040x rw shared:1 - fuse.x x rw\n?"
    assert filesystem_types(lines) == {"fe:00": "ext4", "00:12c": "fuse.x"}


def test_a_command_line_that_cannot_be_read_holds_nobody_up(tmp_path: Path) -> None:
    """Pages that never come are a pipe into which nobody writes."""
    os.mkfifo(tmp_path / "cmdline")
    writer = os.open(tmp_path / "cmdline", os.O_RDWR)
    process = ProcessDirectory(os.getpid())
    os.close(process.descriptor)
    process.descriptor = os.open(tmp_path, os.O_PATH)
    lines = CommandLines()
    with process:
        for _ in range(command_line.MAX_STUCK + 1):
            assert lines.read(process) == ()
        assert lines.unread == command_line.MAX_STUCK + 1
        os.write(writer, b"it\0came\0" * 7_500)  # less than a pipe holds
        deadline = time.monotonic() + 10
        while lines.read(process)[:2] != ("it", "came"):
            assert time.monotonic() < deadline
    os.close(writer)
