"""The system calls that the unprivileged processes may make: seccomp filters as data.

A call that is not named is refused with EPERM, so a library that tries something of its own
fails as it would for lack of a right.  Only `clone3` answers ENOSYS: a filter cannot see its
flags, and the C library then falls back to `clone`, whose flags it can.

Left out on purpose, beside all that needs a privilege: execve (nothing is ever started),
fork (threads only), ptrace and process_vm_* (other processes), bpf and perf_event_open (a
ring's descriptor is for reading), io_uring (its calls pass no filter), memfd_create and
executable anonymous memory (code that came with captured bytes), keyctl, mount, unshare,
setns, userfaultfd, signals to others, sockets beyond IP, Unix and the resolver's netlink.
"""

import errno
import mmap
import os
import signal
import socket
from collections.abc import Iterable, Mapping
from typing import Final

import seccomp

# A rule of a call is a tuple of tests on its arguments that must all hold; a call with
# several rules is allowed by any of them.
Rule = tuple[seccomp.Arg, ...]
Calls = Mapping[str, tuple[Rule, ...]]

_ANY: Final[tuple[Rule, ...]] = ((),)

# asm-generic/ioctls.h
_TCGETS, _TIOCGWINSZ, _FIONREAD, _FIONBIO = 0x5401, 0x5413, 0x541B, 0x5421
_FIONCLEX, _FIOCLEX = 0x5450, 0x5451
# linux/sched.h, linux/prctl.h
_CLONE_THREAD, _CLONE_NAMESPACES = 0x00010000, 0x7E020080
_UNKNOWN: Final = -1  # libseccomp: no such call
_PR_SET_NAME, _PR_GET_NAME, _PR_SET_VMA = 15, 16, 0x53564D41


def _plain(text: str) -> dict[str, tuple[Rule, ...]]:
    return dict.fromkeys(text.split(), _ANY)


def _one_of(position: int, values: Iterable[int]) -> tuple[Rule, ...]:
    return tuple((seccomp.Arg(position, seccomp.EQ, value),) for value in values)


def _without(position: int, bits: int) -> seccomp.Arg:
    return seccomp.Arg(position, seccomp.MASKED_EQ, bits, 0)


# Memory that can be executed comes from files only (shared libraries), never writable.
_MEMORY: Final[Calls] = _plain("brk munmap mremap madvise mincore membarrier") | {
    "mmap": (
        (_without(2, mmap.PROT_EXEC),),
        (_without(2, mmap.PROT_WRITE), _without(3, mmap.MAP_ANONYMOUS)),
    ),
    "mprotect": ((_without(2, mmap.PROT_EXEC),),),
}

_SELF: Final[Calls] = _plain(
    "exit exit_group futex futex_waitv set_robust_list get_robust_list rseq gettid getpid"
    " getppid rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait"
    " sigaltstack pause restart_syscall sched_yield sched_getaffinity sched_getparam"
    " sched_getscheduler getpriority nanosleep clock_nanosleep clock_gettime clock_getres"
    " gettimeofday time times getrandom uname sysinfo getrusage getcpu getpgrp getuid geteuid"
    " getgid getegid getgroups getresuid getresgid"
)

_FILES: Final[Calls] = _plain(
    "read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 open openat"
    " close close_range stat fstat lstat newfstatat statx statfs fstatfs access faccessat"
    " faccessat2 lseek truncate ftruncate fallocate fsync fdatasync sync_file_range fadvise64"
    " rename renameat renameat2 unlink unlinkat mkdir mkdirat rmdir chmod fchmod fchmodat"
    " readlink readlinkat getdents getdents64 getcwd fcntl flock dup dup2 dup3 pipe pipe2 umask"
)

_WAITING: Final[Calls] = _plain(
    "eventfd2 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 poll"
    " ppoll select pselect6 timerfd_create timerfd_settime timerfd_gettime"
)

_SOCKETS: Final[Calls] = _plain(
    "connect bind listen accept accept4 getsockname getpeername sendto recvfrom sendmsg recvmsg"
    " sendmmsg recvmmsg setsockopt getsockopt shutdown"
) | {
    "socket": _one_of(0, (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)),
    "socketpair": _one_of(0, (socket.AF_UNIX,)),
}


def agent() -> Calls:
    """Of the process that touches captured bytes: its files, sockets and threads."""
    return {
        **_MEMORY,
        **_SELF,
        **_FILES,
        **_WAITING,
        **_SOCKETS,
        "clone": ((seccomp.Arg(0, seccomp.MASKED_EQ, _CLONE_THREAD, _CLONE_THREAD),),),
        "ioctl": _one_of(1, (_TCGETS, _TIOCGWINSZ, _FIONREAD, _FIONBIO, _FIONCLEX, _FIOCLEX)),
        "prctl": _one_of(0, (_PR_SET_NAME, _PR_GET_NAME, _PR_SET_VMA)),
        # Asking for a limit, not setting one; and a signal to itself (abort, raise).
        "prlimit64": ((seccomp.Arg(2, seccomp.EQ, 0),),),
        "getrlimit": _ANY,
        "tgkill": _one_of(0, (os.getpid(),)),
        "kill": ((seccomp.Arg(0, seccomp.EQ, os.getpid()),),),
    }


def elf_server() -> Calls:
    """Of the process that forks one reader a file: it may still tighten its children's filter."""
    return {
        **elf_reader(),
        **_plain("recvmsg sendto geteuid"),
        # A fork as the C library does it, and no new namespace.
        "clone": ((seccomp.Arg(0, seccomp.MASKED_EQ, _CLONE_NAMESPACES | 0xFF, signal.SIGCHLD),),),
        **_plain("wait4 alarm setitimer prlimit64 seccomp"),
    }


def elf_reader() -> Calls:
    """Of the process that reads one hostile file through one descriptor."""
    return {
        **_plain(
            "brk munmap mremap madvise read pread64 write lseek fstat newfstatat close close_range"
        ),
        **_plain("exit exit_group futex rt_sigprocmask rt_sigaction rt_sigreturn getpid gettid"),
        **_plain("set_robust_list rseq getrandom clock_gettime"),
        "mmap": ((_without(2, mmap.PROT_EXEC),),),
    }


def prepare(calls: Calls) -> seccomp.SyscallFilter:
    """The filter, whose `load` takes it for every thread of the process, for good."""
    prepared = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
    prepared.set_attr(seccomp.Attr.CTL_TSYNC, 1)
    prepared.set_attr(seccomp.Attr.CTL_NNP, 0)  # no_new_privs is set before, for its own sake
    prepared.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")
    for name, rules in calls.items():
        if seccomp.resolve_syscall(seccomp.Arch(), name) == _UNKNOWN:
            continue  # newer than this libseccomp, or of another machine
        for rule in rules:
            prepared.add_rule(seccomp.ALLOW, name, *rule)
    return prepared
