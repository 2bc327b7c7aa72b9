"""The probe's programs and maps: what there is, and how they come into the kernel.

`load` starts the compile child (compile.py), which brings LLVM with it, compiles and loads, hands
over descriptors and ends: the process that stays never maps LLVM.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from typing import IO, Final

import msgspec

COMPILE_SECONDS: Final = 600  # against a hang: an emulated processor takes a minute or more
MAX_PACKET_BYTES: Final = 1 << 18
MAX_DESCRIPTORS: Final = 128
PAGE_BYTES: Final = 4096


@dataclass(frozen=True)
class Tracepoint:
    """Where a program stands: a directory of /sys/kernel/tracing/events."""

    category: str
    name: str
    program: str
    optional: bool = False  # absent on some architectures


TRACEPOINTS: Final = (
    *(
        Tracepoint("syscalls", f"sys_exit_{call}", "sys_exit_buffer")
        for call in ("read", "write", "recvfrom", "sendto")
    ),
    *(
        Tracepoint("syscalls", f"sys_exit_{call}", "sys_exit_vector")
        for call in ("readv", "writev", "preadv2", "pwritev2", "recvmsg", "sendmsg")
    ),
    *(
        Tracepoint("syscalls", f"sys_exit_{call}", "sys_exit_messages")
        for call in ("recvmmsg", "sendmmsg")
    ),
    Tracepoint("syscalls", "sys_enter_close", "sys_enter_close"),
    *(
        Tracepoint("syscalls", f"sys_exit_{call}", "sys_exit_new")
        for call in ("accept", "accept4", "socket")
    ),
    Tracepoint("syscalls", "sys_enter_dup2", "sys_enter_dup2", optional=True),
    Tracepoint("syscalls", "sys_enter_dup3", "sys_enter_dup2"),
    Tracepoint("sock", "inet_sock_set_state", "socket_state_changes"),
    Tracepoint("sched", "sched_process_exit", "sched_process_exit"),
    Tracepoint("sched", "sched_process_exec", "sched_process_exec"),
)

TRACEPOINT_PROGRAMS: Final = tuple(dict.fromkeys(point.program for point in TRACEPOINTS))
# Programs that share the work by tail calls, by their place in a BPF_PROG_ARRAY (maps.h).
JUMPS: Final = ("jump_meet", "jump_gate", "jump_search", "jump_token", "jump_begin", "jump_pump")
UPROBE_PROGRAMS: Final = (
    "tls_read_enter",
    "tls_write_enter",
    "tls_read_ex_enter",
    "tls_write_ex_enter",
    "tls_write_ex2_enter",
    "gnutls_read_enter",
    "gnutls_write_enter",
    "gnutls_write2_enter",
    "nss_read_enter",
    "nss_write_enter",
    "tls_exit",
    "tls_free_enter",
)
MAPS: Final = ("ring", "counters", "connections", "excluded", "earlier")


class ProbeError(Exception):
    """The probe cannot be loaded; the text says what is missing and what to do."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How large everything is.  Memory in the kernel: the ring, 20 KiB for each stash, and about
    200 bytes for each entry of the other tables."""

    ring_bytes: int = 16 << 20  # a power of two
    capture_limit_bytes: int = 1 << 20  # of one call
    connections: int = 16_384  # WebSockets
    candidates: int = 65_536  # descriptors and connections of plain HTTP
    stashes: int = 256
    ignored: int = 65_536
    calls: int = 4_096

    def definitions(self) -> dict[str, int]:
        return {
            "RING_PAGES": self.ring_bytes // PAGE_BYTES,
            "CAPTURE_LIMIT": self.capture_limit_bytes,
            "CONNECTIONS": self.connections,
            "CANDIDATES": self.candidates,
            "STASHES": self.stashes,
            "IGNORED": self.ignored,
            "CALLS": self.calls,
        }


@dataclass
class Loaded:
    """Descriptors by name.  Whatever holds none of them keeps nothing in the kernel."""

    programs: dict[str, int] = field(default_factory=dict)
    maps: dict[str, int] = field(default_factory=dict)

    @property
    def rings(self) -> list[int]:
        return [self.maps["ring"]]

    def close(self) -> None:
        for descriptor in (*self.programs.values(), *self.maps.values()):
            os.close(descriptor)
        self.programs.clear()
        self.maps.clear()


class Handover(msgspec.Struct, frozen=True):
    """What the compile child says; descriptors come with it, programs first."""

    programs: list[str] = []
    maps: list[str] = []
    error: str = ""


def load(settings: Settings) -> Loaded:
    """Compiles and loads everything.

    Raises:
        ProbeError: what is missing on this machine, or what the verifier refused.
    """
    if os.geteuid() != 0:
        raise ProbeError("loading eBPF programs needs root")
    if settings.ring_bytes & (settings.ring_bytes - 1) or settings.ring_bytes < PAGE_BYTES:
        raise ProbeError(f"ring_bytes is {settings.ring_bytes}: a power of two is needed")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, tempfile.TemporaryFile() as complaints:
        child = subprocess.Popen(  # noqa: S603 -- our own interpreter and module
            [
                sys.executable,
                "-P",  # root imports nothing from the folder that it was started in
                "-m",
                "sockwarden.agent.probe.compile",
                str(theirs.fileno()),
                json.dumps(settings.definitions()),
            ],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
        )
        theirs.close()
        ours.settimeout(COMPILE_SECONDS)
        try:
            return _receive(ours, child, complaints)
        finally:
            if child.poll() is None:
                child.kill()
            child.wait()


def _receive(ours: socket.socket, child: subprocess.Popen[bytes], complaints: IO[bytes]) -> Loaded:
    try:
        data, descriptors, _, _ = socket.recv_fds(ours, MAX_PACKET_BYTES, MAX_DESCRIPTORS)
    except TimeoutError:
        raise ProbeError(f"compiling the probe took over {COMPILE_SECONDS} s") from None
    if not data:
        status = child.wait()
        complaints.seek(0)
        reason = _reason(complaints.read().decode(errors="replace")) or f"exit status {status}"
        raise ProbeError(f"compiling the probe failed: {reason}")
    handover = msgspec.msgpack.decode(data, type=Handover)
    loaded = Loaded()
    names = [*handover.programs, *handover.maps]
    for index, (name, descriptor) in enumerate(zip(names, descriptors, strict=False)):
        place = loaded.programs if index < len(handover.programs) else loaded.maps
        place[name] = descriptor
    if handover.error or len(names) != len(descriptors):
        loaded.close()
        raise ProbeError(handover.error or "the compile child's descriptors were cut")
    return loaded


def _reason(complaints: str) -> str:
    """The line of BCC's that says most: the compiler's first error, else the last one."""
    lines = [line.strip() for line in complaints.splitlines() if line.strip()]
    reason = next((line for line in lines if "error: " in line), lines[-1] if lines else "")
    if "not permitted" in reason:
        reason += " (is CAP_BPF or CAP_SYS_ADMIN missing, or the kernel locked down?)"
    elif "linux/" in reason and "not found" in reason:
        reason += ": apt-get install --reinstall linux-libc-dev"
    return reason
