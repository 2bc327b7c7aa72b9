"""Who a process is: executable, command line, user, systemd unit, container.

A record names a process by pid and start time.  A name is given only when both are those of
a living process; what cannot be learned is None, and a pid that another process has by now
is nobody.  Asked off the way of the bytes, at most once a connection, so a small cache does.

The unit is the innermost one of the process's control group, and the container the innermost
that a runtime's naming tells: Docker, containerd, CRI-O, Podman, Kubernetes, ECS (all by the
64 hexadecimal digits of their ids, or ECS's own), LXC and systemd-nspawn (by name).
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from time import monotonic_ns
from typing import Final

from sockwarden.agent.probe.command_line import CommandLines
from sockwarden.agent.probe.procfs import TICK_NS, ProcessDirectory, lines
from sockwarden.agent.probe.protocol import ProcessReply

MAX_CACHED: Final = 4_096
CACHED_NS: Final = 10_000_000_000  # then an exec shows
MAX_CGROUP_BYTES: Final = 16_384

_DELETED: Final = b" (deleted)"
_UNIT: Final = re.compile(r".+\.(?:service|scope|socket|mount|swap)")
_CONTAINERS: Final = (
    re.compile(r"(?:.*[-:.])?(?P<id>[0-9a-f]{64})(?:\.scope)?"),
    re.compile(r"(?P<id>[0-9a-f]{32}-[0-9]{8,10})"),  # ECS on Fargate
    re.compile(r"machine-(?P<id>.+)\.scope"),
    re.compile(r"systemd-nspawn@(?P<id>.+)\.service"),
    re.compile(r"lxc\.payload\.(?P<id>.+)"),
)
# The monitor of a container stands outside of it, with the container's id in its scope.
_MONITOR: Final = "conmon"
_ESCAPE: Final = re.compile(r"\\x([0-9a-f]{2})")


class Namer:
    """Names processes from /proc; bounded, with a cache.  `now_ns` is a monotonic clock."""

    def __init__(self, now_ns: Callable[[], int] = monotonic_ns) -> None:
        self.command_lines = CommandLines()
        self._now_ns = now_ns
        self._cache: OrderedDict[tuple[int, int], tuple[int, ProcessReply]] = OrderedDict()

    def name(self, pid: int, start_ns: int) -> ProcessReply:
        """The process that was started at `start_ns` (CLOCK_BOOTTIME) under this pid."""
        key = (pid, start_ns)
        now = self._now_ns()
        cached = self._cache.get(key)
        if cached and now - cached[0] < CACHED_NS:
            return cached[1]
        reply = look_up(pid, start_ns, self.command_lines)
        if reply is None:
            # It may have ended since: what was known of it is still true.
            return cached[1] if cached else ProcessReply(pid=pid, start_ns=start_ns)
        self._cache[key] = (now, reply)
        self._cache.move_to_end(key)
        if len(self._cache) > MAX_CACHED:
            self._cache.popitem(last=False)
        return reply


def look_up(pid: int, start_ns: int, command_lines: CommandLines) -> ProcessReply | None:
    """As /proc tells it now, or None when that process is not there."""
    try:
        with ProcessDirectory(pid) as process:
            if process.stat().start_ticks != start_ns // TICK_NS:
                return None
            unit, container = unit_and_container(_text(process.read("cgroup", MAX_CGROUP_BYTES)))
            return ProcessReply(
                pid=pid,
                start_ns=start_ns,
                exe=_executable(process),
                command_line=command_lines.read(process),
                uid=_effective_uid(process),
                unit=unit,
                container=container,
            )
    except (OSError, ValueError, IndexError, OverflowError):
        return None


def unit_and_container(cgroup: str) -> tuple[str | None, str | None]:
    """From /proc/PID/cgroup: v2 (`0::/path`), v1 (`9:name=systemd:/path`) or both."""
    # systemd names units in the unified hierarchy or in its own; runtimes use any.
    ranked: tuple[list[str], list[str]] = ([], [])
    for line in cgroup.split("\n"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        ranked[controllers not in ("", "name=systemd")].append(path)
    unit = next((u for path in ranked[0] for u in _inwards(path) if _UNIT.fullmatch(u)), None)
    containers = (c for paths in ranked for path in paths for c in _containers(path))
    return (_unescape(unit) if unit else None), next(containers, None)


def _inwards(path: str) -> Iterator[str]:
    return (part for part in reversed(path.split("/")) if part)


def _containers(path: str) -> Iterator[str]:
    parts = list(_inwards(path))
    for position, part in enumerate(parts):
        if _MONITOR in part:
            continue
        for pattern in _CONTAINERS:
            if match := pattern.fullmatch(part):
                yield _unescape(match["id"])
        if parts[position + 1 : position + 2] == ["lxc"]:
            yield part


def _unescape(name: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), name)


def _executable(process: ProcessDirectory) -> str | None:
    try:
        return _text(process.link("exe").removesuffix(_DELETED))
    except OSError:  # no right to it
        return None


def _effective_uid(process: ProcessDirectory) -> int | None:
    for line in lines(process.read("status")):
        if line.startswith("Uid:"):
            return int(line.split()[2])
    return None


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")
