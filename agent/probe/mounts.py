"""Mounts the kernel's tracing file systems where nobody has: in small installations and containers.

What cannot be mounted shows when a tracepoint is attached, with its own message.
"""

import ctypes
import os
from typing import Final

PLACES: Final = {"debugfs": "/sys/kernel/debug", "tracefs": "/sys/kernel/tracing"}

# linux/mount.h
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8


def mount_missing() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    for kind, place in PLACES.items():
        if os.path.isdir(place) and not os.path.ismount(place):
            flags = ctypes.c_ulong(_MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
            libc.mount(kind.encode(), place.encode(), kind.encode(), flags, None)
