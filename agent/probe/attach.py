"""Attaching loaded programs, with libbcc_bpf (which does not bring LLVM).

A `Link` is a descriptor: closing it detaches, and so does the end of the process, however it ends.
"""

import ctypes
import functools
import os
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

TRACING: Final = "/sys/kernel/tracing"
_LIBRARY: Final = "libbcc_bpf.so.0"
_ENTRY, _RETURN = 0, 1


class AttachError(Exception):
    """A program could not be attached; the text says where and why."""


@dataclass
class Link:
    """One attached program."""

    descriptor: int

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


@functools.cache
def library() -> ctypes.CDLL:
    """libbcc_bpf.

    Raises:
        AttachError: it is not installed.
    """
    try:
        return ctypes.CDLL(_LIBRARY, use_errno=True)
    except OSError as error:
        raise AttachError(f"{_LIBRARY} is missing: apt-get install libbpfcc") from error


def attach_tracepoint(program: int, category: str, name: str) -> Link:
    """Raises AttachError: there is no such tracepoint, or it is not permitted."""
    if not os.path.isdir(f"{TRACING}/events"):
        raise AttachError(f"tracefs is not there: mount -t tracefs tracefs {TRACING}")
    if not os.path.isdir(f"{TRACING}/events/{category}/{name}"):
        raise AttachError(f"this kernel has no tracepoint {category}:{name}")
    with _QuietStderr():
        descriptor = library().bpf_attach_tracepoint(program, category.encode(), name.encode())
    if descriptor < 0:
        raise AttachError(f"tracepoint {category}:{name}: {os.strerror(ctypes.get_errno())}")
    return Link(descriptor)


def attach_uprobe(program: int, path: str, offset: int, *, returning: bool) -> Link:
    """At the file offset of a function in the file `path`, for all processes that map it.

    The kernel keeps the inode: the path may be one of /proc/self/fd.
    Raises AttachError: it is not permitted, or the file cannot be probed.
    """
    kind = _RETURN if returning else _ENTRY
    event = f"sockwarden_{'r' if returning else 'p'}_{offset:x}".encode()
    with _QuietStderr():
        descriptor = library().bpf_attach_uprobe(
            program, kind, event, path.encode(), ctypes.c_uint64(offset), -1, 0
        )
    if descriptor < 0:
        reason = os.strerror(ctypes.get_errno())
        raise AttachError(f"uprobe at {path}+{offset:#x}: {reason}")
    return Link(descriptor)


class _QuietStderr:
    """libbcc_bpf prints to the standard error what the callers here put into their error."""

    def __enter__(self) -> None:
        self._kept = os.dup(2)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)

    def __exit__(self, *_: object) -> None:
        os.dup2(self._kept, 2)
        os.close(self._kept)
