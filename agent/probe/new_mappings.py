"""Tells at once when a process maps an executable file, as loading a library does.

Passes over /proc (agent/probe/discover.py) find everything, but a server that is attacked in the
moment in which it listens would be found too late.  The kernel tells perf of each executable
mapping (PERF_RECORD_MMAP2, perf_event_open(2)) without a program of ours and without a cost where
nothing is mapped; the events of each processor come in a ring of their own.

What is told here is a hint and no more: records are lost where a ring is full, processors that
come later have no ring, and where the kernel refuses all of it nothing is told.  The passes go
on beside it.
"""

import ctypes
import errno
import logging
import mmap
import os
import platform
import select
import struct
from collections.abc import Iterator
from types import TracebackType
from typing import Final, NamedTuple, Self

RING_PAGES: Final = 8  # about 300 records of each processor; a power of two
PAGE_BYTES: Final = mmap.PAGESIZE

# linux/perf_event.h: struct perf_event_attr as of PERF_ATTR_SIZE_VER0: type, size, config,
# sample_period, sample_type, read_format, flags, wakeup_watermark, bp_type, config1.
_ATTRIBUTES: Final = struct.Struct("=IIQQQQQIIQ")
_SOFTWARE, _DUMMY = 1, 9
_MMAP, _WATERMARK, _MMAP2 = 1 << 8, 1 << 14, 1 << 23
_CLOEXEC = 8
# struct perf_event_mmap_page: data_head, data_tail
_HEAD, _TAIL = 1024, 1032
_POSITION: Final = struct.Struct("=Q")
# struct perf_event_header, then of PERF_RECORD_MMAP2: pid, tid, addr, len, pgoff, maj, min, ino
_HEADER: Final = struct.Struct("=IHH")
_RECORD: Final = struct.Struct("=IIQQQIIQ")
_RECORD_MMAP2 = 10
_NUMBERS: Final = {"x86_64": 298, "aarch64": 241}  # of the system call

_log = logging.getLogger(__name__)


class NewMapping(NamedTuple):
    """A process has mapped a file; `device` is written as in /proc/PID/maps."""

    pid: int
    device: str
    inode: int


class NewMappings:
    """`wait` from one thread; `close`, or the end of the process, ends it."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._rings: dict[int, mmap.mmap] = {}
        try:
            for processor in sorted(os.sched_getaffinity(0) | _online()):
                self._open(processor)
        except OSError as error:
            _log.info("new mappings are found by looking alone: %s", error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def told(self) -> bool:
        """Whether the kernel tells anything."""
        return bool(self._rings)

    def wait(self, seconds: float) -> list[NewMapping]:
        """What was mapped since the last call, or, with nothing yet, within the next `seconds`."""
        return [
            mapping
            for descriptor, _ in self._poll.poll(seconds * 1000)
            for mapping in _take(self._rings[descriptor])
        ]

    def close(self) -> None:
        for descriptor, ring in self._rings.items():
            self._poll.unregister(descriptor)
            ring.close()
            os.close(descriptor)
        self._rings.clear()

    def _open(self, processor: int) -> None:
        attributes = _ATTRIBUTES.pack(
            _SOFTWARE, _ATTRIBUTES.size, _DUMMY, 0, 0, 0, _MMAP | _MMAP2 | _WATERMARK, 1, 0, 0
        )
        number = _NUMBERS.get(platform.machine())
        if number is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        every_process, no_group = -1, -1
        libc = ctypes.CDLL(None, use_errno=True)
        descriptor = libc.syscall(number, attributes, every_process, processor, no_group, _CLOEXEC)
        if descriptor < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        try:
            self._rings[descriptor] = mmap.mmap(descriptor, (1 + RING_PAGES) * PAGE_BYTES)
        except OSError:
            os.close(descriptor)
            raise
        self._poll.register(descriptor, select.POLLIN)


def _online() -> set[int]:
    """/sys/devices/system/cpu/online: "0-3,6"."""
    with open("/sys/devices/system/cpu/online") as file:
        spans = [span.partition("-") for span in file.read().strip().split(",")]
    return {n for low, _, high in spans for n in range(int(low), int(high or low) + 1)}


def _take(ring: mmap.mmap) -> Iterator[NewMapping]:
    """Reads all that the kernel has written and gives it its room back."""
    (head,) = _POSITION.unpack_from(ring, _HEAD)
    (tail,) = _POSITION.unpack_from(ring, _TAIL)
    size = RING_PAGES * PAGE_BYTES
    start = tail % size
    data = ring[PAGE_BYTES + start : PAGE_BYTES + size] + ring[PAGE_BYTES : PAGE_BYTES + start]
    data = data[: head - tail]
    _POSITION.pack_into(ring, _TAIL, head)
    at = 0
    while at + _HEADER.size + _RECORD.size <= len(data):
        kind, _, length = _HEADER.unpack_from(data, at)
        if kind == _RECORD_MMAP2:
            pid, _, _, _, _, major, minor, inode = _RECORD.unpack_from(data, at + _HEADER.size)
            yield NewMapping(pid, f"{major:02x}:{minor:02x}", inode)
        at += max(length, _HEADER.size)
