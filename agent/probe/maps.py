"""The probe's maps from user space, by bpf(2) through libbcc_bpf."""

import ctypes
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sockwarden.agent.probe.attach import library

# The names of enum sw_counter, in its order, from the one place where they stand.  Not through
# its package, which would load the parser into the privileged helper.
_RECORDS: Final = Path(__file__).resolve().parents[2] / "parser" / "records.h"
COUNTERS: Final = tuple(re.findall(r"^ {4}X\((\w+),", _RECORDS.read_text(), flags=re.MULTILINE))

# struct who (agent/bpf/maps.h)
WHO_BYTES: Final = 16
MAX_VALUE_BYTES: Final = 1_024  # more than struct connection has
NOT_HTTP: Final = 1  # of enum ignored
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


def include(descriptor: int, pid: int) -> None:
    """Takes `exclude` back; a process that has ended must not lend its number to another."""
    key = ctypes.c_uint32(pid)
    library().bpf_delete_elem(descriptor, ctypes.byref(key))


def connection_keys(descriptor: int) -> Iterator[tuple[int, bytes]]:
    """(process id, key) of every tracked connection; the key is for `forget`."""
    key = (ctypes.c_uint8 * WHO_BYTES)()
    following = (ctypes.c_uint8 * WHO_BYTES)()
    start: object = None
    for _ in range(MAX_SWEEP):
        if library().bpf_get_next_key(descriptor, start, following) < 0:
            return
        raw = bytes(following)
        yield int.from_bytes(raw[4:8], "little"), raw
        ctypes.memmove(key, following, WHO_BYTES)
        start = key


def number_of(descriptor: int, key: bytes) -> int | None:
    """The `number` of the connection under this key: the first field of struct connection."""
    value = (ctypes.c_uint8 * MAX_VALUE_BYTES)()
    if library().bpf_lookup_elem(descriptor, ctypes.c_char_p(key), value) < 0:
        return None
    return int.from_bytes(bytes(value[:8]), sys.byteorder)


def ignore(descriptor: int, key: bytes) -> None:
    """The map `ignored`: no byte of this descriptor or session matters until it is closed."""
    value = ctypes.c_uint8(NOT_HTTP)
    library().bpf_update_elem(descriptor, ctypes.c_char_p(key), ctypes.byref(value), 0)


def forget(descriptor: int, key: bytes) -> None:
    library().bpf_delete_elem(descriptor, ctypes.c_char_p(key))


def sweep(descriptor: int) -> int:
    """Frees the places of processes that have ended; returns how many."""
    gone = [key for pid, key in connection_keys(descriptor) if not Path(f"/proc/{pid}").exists()]
    for key in gone:
        forget(descriptor, key)
    return len(gone)


def _possible_cpus() -> int:
    """A per-CPU map has a place for each CPU that could be plugged in."""
    text = Path("/sys/devices/system/cpu/possible").read_text().strip()
    return int(text.rpartition(",")[2].rpartition("-")[2]) + 1
