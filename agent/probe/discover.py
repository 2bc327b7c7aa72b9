"""Finds TLS libraries in running processes, and has them attached once a file.

The kernel tells when a process maps a file that was never seen (agent/probe/new_mappings.py):
that process is looked at then.  For what is not told, each process is asked for one line,
/proc/PID/stat, more often than once a second.  Only when its size in memory changed (something
was mapped, or another program executed) is the list of its mappings read; only a file that was
never seen is opened, and an unprivileged process looks for the functions in it
(agent/probe/elf_reader.py).  Any executable mapping may hold a library: static copies are found
like shared ones, the likely names are only looked at first.

What is attached is an inode, whatever its names: containers of one image share one
attachment, an upgraded library is a new file beside the old one.  It is detached a moment
after its last user is gone, so that a loop of short commands does not attach and detach.

A pass is bounded in time and goes on where it stopped; every table is bounded, and so is what one
process may have attached.  Files that are slow to read come after those of other containers and
services, for a control group pays for what it has cost; what hangs is given up
(agent/probe/attempts.py); what could not be watched is counted.  Nothing here raises for what a
process does.
"""

import heapq
import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import count
from time import monotonic_ns
from typing import Final

from sockwarden.agent.probe import procfs, tls
from sockwarden.agent.probe.attached import Attach, AttachedFiles, Key, Reader
from sockwarden.agent.probe.attempts import Attempts, StuckError
from sockwarden.agent.probe.mapped_file import (
    Identity,
    MappedFile,
    Mounts,
    UnreadableError,
    open_mapped,
)
from sockwarden.agent.probe.new_mappings import NewMapping
from sockwarden.agent.probe.procfs import Mapping, ProcessDirectory

LOOK_EVERY_NS: Final = 700_000_000
LATE_LOAD_NS: Final = 2_000_000_000  # as long a new process is looked at in every pass
DETACH_AFTER_NS: Final = 5_000_000_000
PASS_LIMIT_NS: Final = 200_000_000
MAX_PROCESSES: Final = 65_536
MAX_FILES: Final = 32_768
MAX_FILES_PER_PROCESS: Final = 1_024
MAX_USERS_ASKED: Final = 3
HUNG_FOR_NS: Final = 30_000_000_000  # then it is tried again
PRICE_NS: Final = 500_000_000  # for so much time its control group's files go one place back
MAX_PAYERS: Final = 4_096
MAX_CGROUP_BYTES: Final = 4_096
PAYER_DEPTH: Final = 5  # of a control group's path: below, a container makes its own

_log = logging.getLogger(__name__)


class _Process:
    __slots__ = ("files", "mapped_bytes", "next_look_ns", "payer", "seen_ns", "start_ticks")

    def __init__(self, start_ticks: int, now: int) -> None:
        self.start_ticks = start_ticks
        self.seen_ns = now
        self.next_look_ns = now
        self.mapped_bytes = -1
        self.payer: str | None = None
        self.files: frozenset[Key] = frozenset()

    def look_again(self, now: int) -> None:
        late = now - self.seen_ns > LATE_LOAD_NS
        self.next_look_ns = now + LOOK_EVERY_NS if late else now


class _File:
    """A mapped file; `identity` is None until it was examined."""

    __slots__ = ("identity", "name", "payer", "unused_since_ns", "users")

    def __init__(self, name: str) -> None:
        self.name = name
        self.identity: Identity | None = None
        self.payer = ""
        self.users: set[int] = set()
        self.unused_since_ns = 0


class Discovery:
    """Call `run_pass` every quarter of a second and `attend` in between, from one thread; `close`
    detaches all.

    Args:
        told: what was mapped since it was asked, or within so many seconds.
    """

    def __init__(
        self,
        reader: Reader,
        attach: Attach,
        told: Callable[[float], Iterable[NewMapping]] = lambda _seconds: (),
        *,
        now_ns: Callable[[], int] = monotonic_ns,
        detach_after_ns: int = DETACH_AFTER_NS,
    ) -> None:
        self._counters = dict.fromkeys(
            (
                "tls_files_unreadable",
                "discovery_processes_unreadable",
                "discovery_table_full",
                "discovery_passes_cut",
            ),
            0,
        )
        self._attached = AttachedFiles(reader, attach)
        self._told = told
        self._attempts = Attempts()
        self._now_ns, self._detach_after_ns = now_ns, detach_after_ns
        self._processes: dict[int, _Process] = {}
        self._kernel_threads: set[int] = set()
        self._files: dict[Key, _File] = {}
        self._unused: dict[Key, None] = {}
        self._unmatched: set[Key] = set()
        self._hung: dict[Key, int] = {}  # files, and since when
        self._queue: list[tuple[int, int, int, Key]] = []  # cost, rank, order
        self._spent_ns: OrderedDict[str, int] = OrderedDict()
        self._queued: set[Key] = set()
        self._order = count()
        # Files of the processes that were there first and are still to be examined.
        self._awaited: set[Key] | None = None

    @property
    def counters(self) -> dict[str, int]:
        given_up = self._attempts.given_up
        return {**self._attached.counters, **self._counters, "discovery_given_up": given_up}

    @property
    def impairment(self) -> str | None:
        return self._attached.impairment

    @property
    def caught_up(self) -> bool:
        """Every process that was there at the start was looked at, and all that it had mapped.

        A host on which files never seen keep coming always has a backlog.
        """
        return self._awaited is not None and not self._awaited

    @property
    def backlog(self) -> int:
        """Files that are still to be examined."""
        return len(self._queue)

    def run_pass(self) -> None:
        """Looks at what changed, for no longer than about PASS_LIMIT_NS."""
        deadline = self._now_ns() + PASS_LIMIT_NS
        alive = set(procfs.processes())
        for pid in self._processes.keys() - alive:
            self._forget(pid)
        self._kernel_threads &= alive
        looked = self._look_at_processes(alive, deadline)
        self._try_again()
        if looked and self._awaited is None:
            self._awaited = set(self._queued)
        done = looked and self._examine_files(deadline)
        if self._awaited:
            self._awaited &= self._queued
        if not done:
            self._counters["discovery_passes_cut"] += 1
        self._detach_unused()

    def attend(self, seconds: float) -> None:
        """Waits for a process to map a file that is not known, and looks at it at once."""
        deadline = self._now_ns() + PASS_LIMIT_NS
        self._hear(seconds)
        self._examine_files(deadline)

    def close(self) -> None:
        self._attached.close()

    def _hear(self, seconds: float) -> None:
        for mapping in dict.fromkeys(self._told(seconds)):
            key = (mapping.device, mapping.inode)
            if key in self._files or key in self._unmatched:
                continue
            process = self._processes.get(mapping.pid)
            if process:
                process.mapped_bytes = -1
            self._look_at(mapping.pid)
            if key not in self._files and len(self._unmatched) < MAX_FILES:
                # Gone already, or its device has another name in maps: left to the passes.
                self._unmatched.add(key)

    def _look_at_processes(self, alive: set[int], deadline: int) -> bool:
        now = self._now_ns()
        new = sorted(alive - self._processes.keys() - self._kernel_threads)
        due = [pid for pid, process in self._processes.items() if process.next_look_ns <= now]
        due.sort(key=lambda pid: self._processes[pid].next_look_ns)
        for pid in new + due:
            if self._now_ns() > deadline:
                return False
            self._look_at(pid)
        return True

    def _look_at(self, pid: int) -> None:
        now = self._now_ns()
        try:
            status = procfs.glance(pid)
            process = self._processes.get(pid)
            if (
                process
                and process.mapped_bytes == status.mapped_bytes
                and process.start_ticks == status.start_ticks
            ):
                process.look_again(now)
            else:
                with ProcessDirectory(pid) as directory:
                    self._look_into(directory, now)
        except PermissionError:
            self._counters["discovery_processes_unreadable"] += 1
        except StuckError:
            process = self._processes[pid]
            process.mapped_bytes, process.next_look_ns = -1, now + HUNG_FOR_NS
        except (OSError, ValueError, IndexError):  # gone
            self._forget(pid)

    def _look_into(self, directory: ProcessDirectory, now: int) -> None:
        pid = directory.pid
        status = directory.stat()
        process = self._processes.get(pid)
        if process and process.start_ticks != status.start_ticks:
            self._forget(pid)
            process = None
        if status.kernel_thread:
            self._kernel_threads.add(pid)
            return
        if process is None:
            if len(self._processes) >= MAX_PROCESSES:
                self._counters["discovery_table_full"] += 1
                return
            process = self._processes[pid] = _Process(status.start_ticks, now)
        process.look_again(now)
        process.mapped_bytes = status.mapped_bytes
        mappings = self._attempts(lambda: _mappings(pid))
        if process.payer is None:
            process.payer = payer(directory.read("cgroup", MAX_CGROUP_BYTES))
        self._use(pid, process, mappings)

    def _use(self, pid: int, process: _Process, mappings: Iterable[Mapping]) -> None:
        """Brings what the process has mapped, and so who uses what, up to date."""
        mapped: set[Key] = set()
        for mapping in mappings:
            key = (mapping.device, mapping.inode)
            if key in mapped or mapping.path.startswith("/memfd:"):
                continue
            if len(mapped) >= MAX_FILES_PER_PROCESS:
                self._counters["discovery_table_full"] += 1
                break
            if key not in self._files and len(self._files) >= MAX_FILES:
                self._counters["discovery_table_full"] += 1
                continue
            mapped.add(key)
            file = self._files.setdefault(key, _File(os.path.basename(mapping.path)))
            if not file.users:
                # New, or unused for a moment: then its inode may be another file by now.
                file.payer = process.payer or ""
                self._enqueue(key, file, executable=len(mapped) == 1)
                self._unused.pop(key, None)
            file.users.add(pid)
        for key in process.files - mapped:
            self._unuse(pid, key)
        process.files = frozenset(mapped)

    def _unuse(self, pid: int, key: Key) -> None:
        file = self._files[key]
        file.users.discard(pid)
        if not file.users:
            file.unused_since_ns = self._now_ns()
            self._unused[key] = None

    def _forget(self, pid: int) -> None:
        process = self._processes.pop(pid, None)
        for key in process.files if process else ():
            self._unuse(pid, key)

    def _try_again(self) -> None:
        if not self._hung:
            return
        now = self._now_ns()
        for key in [key for key, since in self._hung.items() if now - since > HUNG_FOR_NS]:
            del self._hung[key]
            self._enqueue(key, self._files[key], executable=False)

    def _enqueue(self, key: Key, file: _File, *, executable: bool) -> None:
        likely = any(library.likely(file.name) for library in tls.libraries())
        rank = 0 if likely else 1 if executable else 2
        if key not in self._queued:
            self._queued.add(key)
            heapq.heappush(self._queue, (self._cost(file), rank, next(self._order), key))

    def _cost(self, file: _File) -> int:
        return self._spent_ns.get(file.payer, 0) // PRICE_NS

    def _pay(self, file: _File, spent_ns: int) -> None:
        self._spent_ns[file.payer] = self._spent_ns.get(file.payer, 0) + spent_ns
        self._spent_ns.move_to_end(file.payer)
        if len(self._spent_ns) > MAX_PAYERS:
            self._spent_ns.popitem(last=False)

    def _examine_files(self, deadline: int) -> bool:
        if not self._queue:
            return True
        mounts = Mounts()
        again: list[tuple[int, int, int, Key]] = []
        while self._queue and self._now_ns() <= deadline:
            self._hear(0)
            entry = heapq.heappop(self._queue)
            cost, *place, key = entry
            file = self._files.get(key)
            if not file or not file.users:
                self._queued.discard(key)
            elif self._cost(file) > cost:  # since it was put there
                heapq.heappush(self._queue, (self._cost(file), place[0], place[1], key))
            else:
                begin_ns = self._now_ns()
                if self._examine(key, file, mounts):
                    self._queued.discard(key)
                else:
                    again.append(entry)
                self._pay(file, self._now_ns() - begin_ns)
        done = not self._queue
        for entry in again:
            heapq.heappush(self._queue, entry)
        return done

    def _examine(self, key: Key, file: _File, mounts: Mounts) -> bool:
        """Whether that is settled; else all who were asked are gone, and others may be there."""
        for pid in list(file.users)[:MAX_USERS_ASKED]:
            try:
                descriptor, identity = self._attempts(
                    lambda pid=pid: _open(pid, key, mounts),  # type: ignore[misc]
                    undo=lambda opened: os.close(opened.descriptor),
                )
            except (PermissionError, UnreadableError, StuckError) as error:
                if isinstance(error, StuckError):
                    self._hung[key] = self._now_ns()
                self._counters["tls_files_unreadable"] += 1
                _log.debug("%r of process %d could not be read: %s", file.name, pid, error)
                return True
            except (OSError, ValueError):
                # It ended, or unmapped the file since: see what it has now.
                self._processes[pid].mapped_bytes = -1
                continue
            try:
                if identity != file.identity:
                    self._attached.remove(file.identity, key)
                    file.identity = identity
                    theirs = (self._files[one].identity for one in self._processes[pid].files)
                    self._attached.add(identity, key, file.name, descriptor, theirs)
            finally:
                os.close(descriptor)
            return True
        return False

    def _detach_unused(self) -> None:
        now = self._now_ns()
        for key in list(self._unused):
            file = self._files[key]
            if now - file.unused_since_ns < self._detach_after_ns:
                break  # in the order of time
            del self._unused[key]
            self._attached.remove(file.identity, key)
            self._hung.pop(key, None)
            del self._files[key]


def payer(cgroup: bytes) -> str:
    """The service or container whose process this is, by the first line of /proc/PID/cgroup: the
    path of version 2, or that of one hierarchy of version 1."""
    path = procfs.lines(cgroup)[0].split(":", 2)[-1]
    return "/".join(path.split("/", PAYER_DEPTH + 1)[: PAYER_DEPTH + 1])


def _mappings(pid: int) -> list[Mapping]:
    with ProcessDirectory(pid) as directory:
        return list(directory.executable_mappings())


def _open(pid: int, key: Key, mounts: Mounts) -> MappedFile:
    with ProcessDirectory(pid) as directory:
        for mapping in directory.executable_mappings():
            if (mapping.device, mapping.inode) == key:
                return open_mapped(directory, mapping, mounts)
    raise ProcessLookupError("it has unmapped the file")
