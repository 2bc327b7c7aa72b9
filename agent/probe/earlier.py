"""The connections that are there before the probe: nobody saw how they began.

Which of them are WebSockets only their bytes will tell (agent/bpf/midway.h).  Listed are the
connected stream sockets of every network namespace that a process is in, by their inodes, from
/proc/PID/net.  What is beyond a bound is left out and counted.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

MAX_SOCKETS: Final = 65_536
MAX_NAMESPACES: Final = 1_024
MAX_TABLE_BYTES: Final = 32 << 20  # 200,000 lines of /proc/PID/net/tcp

# net/tcp_states.h: established, both waits for a FIN, and the wait for our own close
_CONNECTED: Final = frozenset((b"01", b"04", b"05", b"08"))
_UNIX_STREAM, _UNIX_CONNECTED = b"0001", b"03"


def sockets(proc: Path = Path("/proc")) -> tuple[list[int], int]:
    """Inodes, and how many there are beyond MAX_SOCKETS."""
    found: dict[int, None] = {}
    beyond = 0
    for net in _namespaces(proc):
        for inode in _connected(net):
            if len(found) < MAX_SOCKETS:
                found[inode] = None
            elif inode not in found:
                beyond += 1
    return list(found), beyond


def _namespaces(proc: Path) -> Iterator[Path]:
    """The `net` directory of one process in each."""
    seen: set[int] = set()
    for entry in os.scandir(proc):
        if len(seen) == MAX_NAMESPACES:
            return
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended
                namespace = os.stat(f"{entry.path}/ns/net").st_ino
                if namespace not in seen:
                    seen.add(namespace)
                    yield Path(entry.path) / "net"


def _connected(net: Path) -> Iterator[int]:
    for name in ("tcp", "tcp6"):
        for fields in _lines(net / name):
            if len(fields) > 9 and fields[3] in _CONNECTED and fields[9].isdigit():
                yield int(fields[9])
    for fields in _lines(net / "unix"):
        if len(fields) > 6 and (fields[4], fields[5]) == (_UNIX_STREAM, _UNIX_CONNECTED):
            yield int(fields[6])


def _lines(table: Path) -> Iterator[list[bytes]]:
    with contextlib.suppress(OSError), table.open("rb") as file:
        left = MAX_TABLE_BYTES
        for line in file:
            left -= len(line)
            if left < 0:
                return
            yield line.split()
