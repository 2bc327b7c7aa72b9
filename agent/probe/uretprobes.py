"""Whether a uretprobe would kill programs here, found out on a process of our own.

From Linux 6.11 on x86-64 a probed function returns through a system call, uretprobe(2).  Until
seccomp was taught to let it pass (6.14, and late 6.12 and 6.13), a program under a filter that
does not know the call dies when one of its functions is probed: browsers, systemd services,
containers.  An observer never harms, so there nothing is attached to returns.
"""

import ctypes
import errno
import os
import platform
import resource
import signal
from typing import Final

import seccomp

_SYS_URETPROBE: Final = 335


def are_harmless() -> bool:
    """Asks the kernel through forked children; to be called before there are threads."""
    if platform.machine() != "x86_64":
        return True  # no such system call: returns are caught by a trap
    # Called from anywhere but the kernel's trampoline, the call ends in SIGILL.
    there = _ends_by_signal(filtered=False)
    return not there or _ends_by_signal(filtered=True)


def _ends_by_signal(*, filtered: bool) -> bool:
    child = os.fork()
    if child == 0:
        try:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            signal.signal(signal.SIGILL, signal.SIG_DFL)
            if filtered:
                refusing = seccomp.SyscallFilter(seccomp.ALLOW)
                refusing.add_rule(seccomp.ERRNO(errno.EPERM), _SYS_URETPROBE)
                refusing.load()
            ctypes.CDLL(None).syscall(_SYS_URETPROBE)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)
