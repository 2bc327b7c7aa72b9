"""Opening a file that another process has mapped, though that process may be hostile.

The file is opened by the mapping (/proc/PID/map_files), so it is the very inode that is
mapped: in a container, after an upgrade that put another file under the name, after its
removal.  Where the kernel refuses that, by name through /proc/PID/root, and then only when
the inode is the one of the mapping.

A file system that a process serves (FUSE) is refused: it could hold the helper in a read for
as long as it likes.  So is one that nobody here has mounted.  No device or pipe is ever
opened: a path is looked at first (O_PATH), opened only as a regular file.
"""

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from sockwarden.agent.probe.procfs import (
    MAX_MOUNTS_BYTES,
    ProcessDirectory,
    filesystem_types,
)
from sockwarden.agent.probe.procfs import Mapping as MappedRange


class UnreadableError(Exception):
    """The file cannot be opened, or must not be; the text says why."""


class Identity(NamedTuple):
    """Equal for two mappings of one file, also through two containers of one image.

    Each overlay mount gives a shared lower file a device of its own, but uprobes go by the
    lower file: attached by device they would fire twice.  What overlays pass through is
    compared instead.
    """

    device: int | None
    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int


class MappedFile(NamedTuple):
    descriptor: int
    identity: Identity


class Mounts:
    """Types of file systems by device, as a process sees them and as the helper does."""

    def __init__(self) -> None:
        self._own = filesystem_types(Path("/proc/self/mountinfo").read_bytes())
        self._by_namespace: dict[bytes, Mapping[str, str]] = {}

    def type_of(self, process: ProcessDirectory, device: str) -> str | None:
        namespace = process.link("ns/mnt")
        types = self._by_namespace.get(namespace)
        if types is None:
            types = filesystem_types(process.read("mountinfo", MAX_MOUNTS_BYTES))
            self._by_namespace[namespace] = types
        return types.get(device) or self._own.get(device)


def open_mapped(process: ProcessDirectory, mapped: MappedRange, mounts: Mounts) -> MappedFile:
    """Opens the file for reading; the caller closes the descriptor.

    Raises:
        UnreadableError: it is not to be opened.
        OSError: the process is gone or its files are not for us.
    """
    kind = mounts.type_of(process, mapped.device)
    if kind is None:
        raise UnreadableError("on a file system that is not mounted here")
    if kind.startswith("fuse"):
        raise UnreadableError("on FUSE, which could block its reader")
    try:
        descriptor = _open_regular(process, f"map_files/{mapped.addresses}", lambda _: True)
    except OSError:
        descriptor = _open_regular(
            process, f"root{mapped.path}", lambda status: status.st_ino == mapped.inode
        )
    status = os.fstat(descriptor)
    overlay = kind == "overlay"
    identity = Identity(
        device=None if overlay else status.st_dev,
        # Some mounts keep the layer's number in the upper half.
        inode=status.st_ino & 0xFFFF_FFFF if overlay else status.st_ino,
        size_bytes=status.st_size,
        modified_ns=status.st_mtime_ns,
        changed_ns=status.st_ctime_ns,
    )
    return MappedFile(descriptor, identity)


def _open_regular(
    process: ProcessDirectory, name: str, right: Callable[[os.stat_result], bool]
) -> int:
    place = os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=process.descriptor)
    try:
        status = os.fstat(place)
        if not stat.S_ISREG(status.st_mode) or not right(status):
            raise UnreadableError("another file has its name by now")
        return os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(place)
