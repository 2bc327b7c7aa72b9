"""The few files of /proc that the helper reads, and how it reads them.

A `ProcessDirectory` is held open, and the kernel binds it to the process, not to the number:
when the process is gone every read through it fails, also when the pid names another process
by then.  Each read is bounded, since a process decides the length of much of what is here.
"""

import contextlib
import os
from collections.abc import Iterator
from types import TracebackType
from typing import Final, NamedTuple, Self

TICK_NS: Final = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
MAX_MAPS_BYTES: Final = 4 << 20  # 40,000 mappings
MAX_MOUNTS_BYTES: Final = 1 << 20

_KERNEL_THREAD: Final = 0x0020_0000  # PF_KTHREAD


class Stat(NamedTuple):
    """Of /proc/PID/stat; `start_ticks` since boot tells two processes of one pid apart."""

    kernel_thread: bool
    start_ticks: int
    mapped_bytes: int


class Mapping(NamedTuple):
    """An executable mapping of a file."""

    addresses: str
    device: str
    inode: int
    path: str


class ProcessDirectory:
    """/proc/PID, bound to one process.  Reads raise OSError when that process is gone."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.descriptor = os.open(f"/proc/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self.descriptor)

    def read(self, name: str, limit_bytes: int = 4_096) -> bytes:
        """At most `limit_bytes` of a file."""
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.descriptor)
        try:
            parts, left = [], limit_bytes
            while left and (part := os.read(descriptor, min(left, 65_536))):
                parts.append(part)
                left -= len(part)
        finally:
            os.close(descriptor)
        return b"".join(parts)

    def link(self, name: str) -> bytes:
        return os.readlink(os.fsencode(name), dir_fd=self.descriptor)

    def stat(self) -> Stat:
        return _parse_stat(self.read("stat"))

    def executable_mappings(self) -> Iterator[Mapping]:
        """In the order of addresses; a file shows as often as it is mapped."""
        for line in lines(self.read("maps", MAX_MAPS_BYTES)):
            fields = line.split(maxsplit=5)
            if len(fields) == 6 and fields[1][2] == "x" and fields[4] != "0":
                yield Mapping(fields[0], fields[3], int(fields[4]), fields[5])


def glance(pid: int) -> Stat:
    """`ProcessDirectory.stat` at half the price, of whatever process has this pid now."""
    descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _parse_stat(os.read(descriptor, 4_096))
    finally:
        os.close(descriptor)


def _parse_stat(line: bytes) -> Stat:
    # The name, in parentheses, may hold anything, parentheses too.
    fields = line.rpartition(b")")[2].split(maxsplit=21)
    return Stat(
        kernel_thread=bool(int(fields[6]) & _KERNEL_THREAD),
        start_ticks=int(fields[19]),
        mapped_bytes=int(fields[20]),
    )


def processes() -> Iterator[int]:
    """The ids of all processes."""
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def lines(raw: bytes) -> list[str]:
    """A process chooses names in these files, of which the kernel escapes "\n" alone: whatever else
    Python takes for the end of a line would let it write lines of its own."""
    return os.fsdecode(raw).split("\n")


def filesystem_types(mountinfo: bytes) -> dict[str, str]:
    """The type of each mounted file system by device, "major:minor" in hex as in maps."""
    types = {}
    for line in lines(mountinfo):
        mount, _, source = line.partition(" - ")
        with contextlib.suppress(IndexError, ValueError):
            major, _, minor = mount.split()[2].partition(":")
            types[f"{int(major):02x}:{int(minor):02x}"] = source.split()[0]
    return types
