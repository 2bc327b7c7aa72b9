"""What a process names itself and its files by is no line of /proc."""

import mmap
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sockwarden.agent.probe.command_line import CommandLines
from sockwarden.agent.probe.naming import look_up
from sockwarden.agent.probe.procfs import TICK_NS, ProcessDirectory, filesystem_types

NOBODY = 65_534
PR_SET_NAME = 15
NAME = "\rUid:\t0\t0\t0\t0"

ENDS_OF_LINES = ("\r", "\v", "\f", "\x1c", "\x85", "\u2028")  # by str.splitlines
LINE = "7f00-8f00 r-xp 0 08:01 7 /usr/lib/libssl.so.3"


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed")
def test_a_process_cannot_name_itself_root() -> None:
    code = (
        f"import ctypes, os; os.setuid({NOBODY});"
        f"ctypes.CDLL(None).prctl({PR_SET_NAME}, {NAME.encode()!r}); print(flush=True); input()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys._base_executable, "-Sc", code], stdin=pipe, stdout=pipe, cwd="/"
    ) as child:
        assert child.stdout
        assert child.stdout.readline() == b"\n"
        with ProcessDirectory(child.pid) as process:
            assert NAME.encode() in process.read("status")
            start_ns = process.stat().start_ticks * TICK_NS
        reply = look_up(child.pid, start_ns, CommandLines())
        child.kill()
    assert reply is not None
    assert reply.uid == NOBODY


@pytest.mark.parametrize("end", ENDS_OF_LINES)
def test_the_name_of_a_file_is_one_name(tmp_path: Path, end: str) -> None:
    folder = tmp_path / f"x{end}{LINE.partition('/')[0]}"
    folder.mkdir()
    file = Path(shutil.copy("/bin/true", folder / "libssl.so.3"))
    with (
        file.open("rb") as opened,
        mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ | mmap.PROT_EXEC),
        ProcessDirectory(os.getpid()) as process,
    ):
        ours = [m for m in process.executable_mappings() if m.inode == file.stat().st_ino]
        assert not any(m.inode == 7 for m in process.executable_mappings())
    assert [mapping.path for mapping in ours] == [str(file)]


@pytest.mark.parametrize("end", ENDS_OF_LINES)
def test_the_name_of_a_mount_is_no_mount(end: str) -> None:
    """A file system that a process serves must not pass for another."""
    mounts = f"40 36 0:300 / /m rw - fuse.x x rw\n41 36 0:301 / /m{end}1 1 0:300 rw - ext4 x rw\n"
    assert filesystem_types(mounts.encode())["00:12c"] == "fuse.x"
