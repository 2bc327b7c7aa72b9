"""The probe's maps from user space, by bpf(2) through libbcc_bpf."""

import ctypes
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sockwarden.agent.probe.attach import library

# The names of enum sw_counter, in its order, from the one place where they stand.  Not through
# its package, which would load the parser into the privileged helper.
_RECORDS: Final = Path(__file__).resolve().parents[2] / "parser" / "records.h"
COUNTERS: Final = tuple(re.findall(r"^ {4}X\((\w+),", _RECORDS.read_text(), flags=re.MULTILINE))

# struct who and the head of struct connection (agent/bpf/maps.h)
WHO_BYTES: Final = 16
MAX_VALUE_BYTES: Final = 1_024  # more than struct connection has
_CONNECTION: Final = struct.Struct("=QQBBB")
_STATE_AT: Final = 16
HIDDEN: Final = 5  # of enum state
BPF_EXIST: Final = 2
EARLIER_TRIES: Final = 32  # calls that are looked at for a frame
MAX_SWEEP: Final = 65_536


def read_counters(descriptor: int) -> dict[str, int]:
    """Sums over all processors, by the names above."""
    cpus = _possible_cpus()
    values = (ctypes.c_uint64 * cpus)()
    found = {}
    for index, name in enumerate(COUNTERS):
        key = ctypes.c_uint32(index)
        if library().bpf_lookup_elem(descriptor, ctypes.byref(key), values) < 0:
            raise OSError(ctypes.get_errno(), f"counter {name}")
        found[name] = sum(values)
    return found


def exclude(descriptor: int, pid: int) -> None:
    """The map `excluded`: this process is one of our own and not to be watched."""
    key, value = ctypes.c_uint32(pid), ctypes.c_uint8(1)
    if library().bpf_update_elem(descriptor, ctypes.byref(key), ctypes.byref(value), 0) < 0:
        raise OSError(ctypes.get_errno(), f"cannot exclude process {pid}")


def list_earlier(descriptor: int, inodes: Iterable[int]) -> None:
    """The map `earlier`: sockets that were there before the probe."""
    tries = ctypes.c_uint8(EARLIER_TRIES)
    for inode in inodes:
        key = ctypes.c_uint32(inode)
        library().bpf_update_elem(descriptor, ctypes.byref(key), ctypes.byref(tries), 0)


def include(descriptor: int, pid: int) -> None:
    """Takes `exclude` back; a process that has ended must not lend its number to another."""
    key = ctypes.c_uint32(pid)
    library().bpf_delete_elem(descriptor, ctypes.byref(key))


@dataclass(frozen=True)
class Entry:
    """A WebSocket in the kernel's table, by the head of struct connection."""

    key: bytes
    value: bytes
    number: int
    pid: int  # that moved bytes last
    let_go: bool  # a descriptor was closed, and nothing moved since
    over: bool  # TCP has ended it

    @property
    def of_socket(self) -> bool:
        """Else of an SSL object, which ends with its process."""
        return self.key[:8] == bytes(8)


def entries(descriptor: int) -> Iterator[Entry]:
    """Of the map `connections`; what comes and goes meanwhile may be left out."""
    key = (ctypes.c_uint8 * WHO_BYTES)()
    following = (ctypes.c_uint8 * WHO_BYTES)()
    value = (ctypes.c_uint8 * MAX_VALUE_BYTES)()
    start: object = None
    for _ in range(MAX_SWEEP):
        if library().bpf_get_next_key(descriptor, start, following) < 0:
            return
        if library().bpf_lookup_elem(descriptor, following, value) == 0:
            raw = bytes(value)
            number, process, _, let_go, over = _CONNECTION.unpack_from(raw)
            yield Entry(bytes(following), raw, number, process >> 32, bool(let_go), bool(over))
        ctypes.memmove(key, following, WHO_BYTES)
        start = key


def hide(descriptor: int, connection: int) -> None:
    """No byte of this connection is passed on any more."""
    for entry in entries(descriptor):
        if entry.number == connection:
            value = bytearray(entry.value)
            value[_STATE_AT] = HIDDEN
            raw = (ctypes.c_uint8 * len(value)).from_buffer(value)
            library().bpf_update_elem(descriptor, ctypes.c_char_p(entry.key), raw, BPF_EXIST)
            return


class Sweeper:
    """Frees the places of connections whose end no program saw.

    A socket that some process may still hold is left until it was idle for a whole round.
    """

    def __init__(self) -> None:
        self._suspects: set[int] = set()

    def sweep(self, descriptor: int) -> int:
        """Of the map `connections`; returns how many."""
        gone, suspects = [], set()
        for entry in entries(descriptor):
            dead = not Path(f"/proc/{entry.pid}").exists()
            if entry.over or entry.let_go or dead:
                if (dead and not entry.of_socket) or entry.number in self._suspects:
                    gone.append(entry.key)
                else:
                    suspects.add(entry.number)
        for key in gone:
            library().bpf_delete_elem(descriptor, ctypes.c_char_p(key))
        self._suspects = suspects
        return len(gone)


def _possible_cpus() -> int:
    """A per-CPU map has a place for each CPU that could be plugged in."""
    text = Path("/sys/devices/system/cpu/possible").read_text().strip()
    return int(text.rpartition(",")[2].rpartition("-")[2]) + 1
