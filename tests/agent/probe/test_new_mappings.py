"""The kernel tells when a process maps an executable file."""

import mmap
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from patience import patient

from sockwarden.agent.probe.new_mappings import NewMapping, NewMappings
from sockwarden.agent.probe.procfs import ProcessDirectory

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="perf events of all processes need root"),
]
DEADLINE_SECONDS = patient(5)


def map_executable(path: Path) -> int:
    """A process that maps the file as a library is mapped; returns its pid."""
    program = (
        "import mmap, sys; f = open(sys.argv[1], 'rb');"
        "m = mmap.mmap(f.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)"
    )
    process = subprocess.Popen([sys.executable, "-S", "-c", program, path])
    assert process.wait(DEADLINE_SECONDS) == 0
    return process.pid


def until_told(mappings: NewMappings, wanted: NewMapping) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while wanted not in mappings.wait(0.1):
        assert time.monotonic() < deadline


def test_a_mapping_is_told_with_the_names_of_proc(tmp_path: Path) -> None:
    file = tmp_path / "library.so"
    file.write_bytes(bytes(8192))
    with file.open("rb") as stream, NewMappings() as mappings:
        assert mappings.told
        pid = map_executable(file)
        ours = mmap.mmap(stream.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)
        with ours, ProcessDirectory(os.getpid()) as directory:
            inode = file.stat().st_ino
            device = next(m.device for m in directory.executable_mappings() if m.inode == inode)
        until_told(mappings, NewMapping(pid, device, inode))


def test_more_than_a_ring_holds_does_not_stop_what_comes_after(tmp_path: Path) -> None:
    file = tmp_path / "library.so"
    file.write_bytes(bytes(8192))
    with file.open("rb") as stream, NewMappings() as mappings:
        for _ in range(3_000):
            mmap.mmap(stream.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC).close()
        while mappings.wait(0):
            pass
        pid = map_executable(file)
        device = os.stat(file).st_dev
        name = f"{os.major(device):02x}:{os.minor(device):02x}"
        until_told(mappings, NewMapping(pid, name, file.stat().st_ino))
