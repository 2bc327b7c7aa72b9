"""Giving up every right: what a process does before it touches bytes of others.

`drop` leaves the agent with an ordinary user, no group beside that user's, no capability in
any set, no way to gain one (no_new_privs, empty bounding set), the system calls of
`syscalls.agent` and the descriptors it was given.  It looks at the result in /proc and raises
when anything is left: a process that could not be confined must not go on.

`lock` is the part of it that the ELF reader (agent/probe/elf_reader.py) shares.
"""

import ctypes
import os
import pwd
import resource
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TextIO

from sockwarden.agent.probe import syscalls

NOBODY_ID: Final = 65_534
FALLBACK_USER: Final = "nobody"

# A core dump would hold captured payload.  The file size bounds a spool that runs wild.
LIMITS: Final = {
    resource.RLIMIT_CORE: 0,
    resource.RLIMIT_NOFILE: 1_024,
    resource.RLIMIT_FSIZE: 4 << 30,
    resource.RLIMIT_MEMLOCK: 0,
}

# linux/prctl.h, linux/capability.h
_PR_SET_DUMPABLE, _PR_CAPBSET_DROP = 4, 24
_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


class PrivilegeError(Exception):
    """A right could not be given up."""


def drop(user: str, *, keep: Iterable[int] = ()) -> str:
    """Confines this process for good and returns the user's name that it runs as now.

    Started without root it keeps its user, since there is none to change to, and gives up the
    rest.  `user` may be missing on a machine without an installation: then it is nobody.

    Args:
        user: whom to become.
        keep: descriptors beside the standard three that stay open.

    Raises:
        PrivilegeError: something is left; the process must end.
    """
    close_all_but(keep)
    for limit, wanted in LIMITS.items():
        _, hard = resource.getrlimit(limit)
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(limit, (allowed, allowed))
    if os.geteuid() == 0:
        entry = ordinary_user(user)
        name = entry.pw_name
        lock(entry.pw_uid, entry.pw_gid)
    else:
        name = pwd.getpwuid(os.geteuid()).pw_name
        lock(None, None)
    syscalls.prepare(syscalls.agent()).load()
    check(open_status())
    return name


def lock(uid: int | None, gid: int | None) -> None:
    """Becomes `uid` and `gid` (None: stays who it is) without any capability, for good."""
    os.umask(0o077)
    if uid is not None and gid is not None:
        for capability in range(_last_capability() + 1):
            _prctl(_PR_CAPBSET_DROP, capability)
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    _clear_capabilities()
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    # Neither its memory nor its descriptors are for other processes of the same user.
    _prctl(_PR_SET_DUMPABLE, 0)


def close_all_but(keep: Iterable[int]) -> None:
    low = 3
    for descriptor in sorted({fd for fd in keep if fd >= low}):
        os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def open_status() -> TextIO:
    """For `check`, opened while files still can be; it tells the state at the time of reading."""
    return Path("/proc/thread-self/status").open()


def check(status_file: TextIO) -> None:
    """Reads back from the kernel what this process may still do."""
    with status_file:
        lines = (line.partition(":") for line in status_file)
        status = {name: value.strip() for name, _, value in lines}
    wrong = [
        f"{name} {status[name]}"
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")
        if int(status[name], 16)
    ]
    wrong += [
        f"{name} {status.get(name)}"
        for name, value in (("NoNewPrivs", "1"), ("Seccomp", "2"))
        if status.get(name) != value
    ]
    if os.geteuid() == 0:
        wrong.append("uid 0")
    if wrong:
        raise PrivilegeError(f"could not give up privileges: {', '.join(wrong)}")


def ordinary_user(user: str) -> pwd.struct_passwd:
    """Whom `drop` becomes: `user`, or nobody where there is no such user.

    Raises:
        PrivilegeError: it is root, or neither exists.
    """
    for name in (user, FALLBACK_USER):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid == 0:
            raise PrivilegeError(f"user {name} is root: name an ordinary one in [agent] user")
        return entry
    raise PrivilegeError(f"neither user {user} nor {FALLBACK_USER} exists: create one")


def _last_capability() -> int:
    return int(Path("/proc/sys/kernel/cap_last_cap").read_text())


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def _clear_capabilities() -> None:
    header = _Header(_CAPABILITY_VERSION_3, 0)
    if _libc.capset(ctypes.byref(header), ctypes.byref((_Sets * 2)())):
        raise PrivilegeError(f"capset: {os.strerror(ctypes.get_errno())}")


def _prctl(option: int, first: int = 0) -> None:
    zero = ctypes.c_ulong(0)
    if _libc.prctl(option, ctypes.c_ulong(first), zero, zero, zero):
        raise PrivilegeError(f"prctl {option}: {os.strerror(ctypes.get_errno())}")
