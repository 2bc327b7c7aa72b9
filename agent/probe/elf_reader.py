"""Reads hostile ELF files in processes that have no right to anything.

A file in a container may be made to break its reader, so the privileged helper only opens it
and hands the descriptor away:

    helper --(file, reply socket, names)--> server --fork--> reader --(offsets)--> helper

The server is nobody, without capabilities, under seccomp; it never looks into a file.  It forks
one reader a file, which tightens the filter to reading that descriptor and answering once.
So what a file does to its reader ends with that file: no later answer comes from a process
that an earlier file could have taken over.  A fork costs 2 ms, where a new interpreter a file
would cost 60.

A reader is bounded in memory, CPU time and wall time; whatever happens to it is a `Refused`,
which the caller counts.  `ElfReader.ask` always returns within `ASK_LIMIT_SECONDS`.
"""

import argparse
import contextlib
import gc
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

READER_MEMORY_BYTES: Final = 512 << 20
READER_CPU_SECONDS: Final = 3
READER_WALL_SECONDS: Final = 5
ASK_LIMIT_SECONDS: Final = 8.0
MAX_FILE_BYTES: Final = 4 << 30
MAX_PACKET_BYTES: Final = 16_384
MAX_REASON_LENGTH: Final = 200


class Question(msgspec.Struct, frozen=True, tag="question"):
    """Comes with two descriptors: the file, and the socket for the answer."""

    symbols: tuple[str, ...]


class Found(msgspec.Struct, frozen=True, tag="found", forbid_unknown_fields=True):
    """File offsets by symbol; those that the file does not define are absent."""

    offsets: dict[str, int]


class Refused(msgspec.Struct, frozen=True, tag="refused", forbid_unknown_fields=True):
    """The file could not be read; `reason` is for the log."""

    reason: str


Answer = Found | Refused


class ElfReaderError(Exception):
    """There is no reader, for whatever file."""

_READY: Final = b"ready"
_encode = msgspec.msgpack.Encoder().encode
_decode_question = msgspec.msgpack.Decoder(Question).decode
_decode_answer = msgspec.msgpack.Decoder(Answer).decode


class ElfReader:
    """The helper's side; used from one thread.  The server is started when it is first needed."""

    def __init__(self, *, limit_seconds: float = ASK_LIMIT_SECONDS) -> None:
        self.restarts = 0
        self._limit_seconds = limit_seconds
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        """Of the server, once there is one."""
        return self._server.pid if self._server else None

    def ask(self, file: int, symbols: Sequence[str]) -> Answer:
        """Where the functions `symbols` are in the file; never raises for what a file does.

        Raises:
            ElfReaderError: no process could be started that reads it.
        """
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            return Refused("no regular file")
        if status.st_size > MAX_FILE_BYTES:
            return Refused(f"above {MAX_FILE_BYTES >> 30} GiB")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            ours.settimeout(self._limit_seconds)
            with theirs:
                self._send(Question(tuple(symbols)), file, theirs.fileno())
            try:
                packet = ours.recv(MAX_PACKET_BYTES)
            except OSError:
                self.close()  # the server did not end its reader: end both
                return Refused(f"no answer within {self._limit_seconds:g} s")
        if not packet:
            return Refused("its reader died: a limit or a malformed table")
        try:
            answer = _decode_answer(packet)
        except msgspec.MsgspecError:
            return Refused("its reader gave no valid answer")
        if isinstance(answer, Found) and not (
            answer.offsets.keys() <= set(symbols)
            and all(0 < offset < status.st_size for offset in answer.offsets.values())
        ):
            return Refused("its reader named a place outside of it")
        return answer

    def close(self) -> None:
        """Ends the server and what it started."""
        if self._control:
            self._control.close()
        if self._server:
            # The readers are in its process group, which their filter keeps them in.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()
        self._control = self._server = None

    def _send(self, question: Question, *descriptors: int) -> None:
        for _ in range(2):
            if self._control is None:
                self._start()
            assert self._control is not None
            try:
                socket.send_fds(self._control, [_encode(question)], descriptors)
            except OSError:  # it died since the last question
                self.close()
                self.restarts += 1
            else:
                return

    def _start(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(self._limit_seconds)
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-m", __name__, "--control", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                process_group=0,
            )
        try:
            ready = self._control.recv(MAX_PACKET_BYTES) == _READY
        except TimeoutError:
            ready = False
        if not ready:
            self.close()
            raise ElfReaderError("the ELF reader could not confine itself; see its message above")


def main(arguments: Sequence[str] | None = None) -> None:
    """The server: `python -m sockwarden.agent.probe.elf_reader --control FD`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--control", type=int, required=True)
    control = socket.socket(fileno=parser.parse_args(arguments).control)

    # All that a reader needs is loaded before the filter, and one file is read, for pyelftools
    # builds its parsers on first use.
    from sockwarden.agent.probe import elf, privileges, syscalls

    with Path("/proc/self/exe").open("rb") as own:
        elf.function_offsets(own, ("main",))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    privileges.close_all_but((control.fileno(),))
    status = privileges.open_status()
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_MEMLOCK):
        resource.setrlimit(limit, (0, 0))
    if os.geteuid() == 0:
        privileges.lock(privileges.NOBODY_ID, privileges.NOBODY_ID)
    else:
        privileges.lock(None, None)
    readers_filter = syscalls.prepare(syscalls.elf_reader())
    syscalls.prepare(syscalls.elf_server()).load()
    privileges.check(status)
    gc.freeze()
    control.send(_READY)

    while True:
        packet, descriptors, _, _ = socket.recv_fds(control, MAX_PACKET_BYTES, 2)
        if not packet:
            return
        file, reply = descriptors
        reader = os.fork()
        if reader == 0:
            os.closerange(0, 3)
            control.close()
            signal.alarm(READER_WALL_SECONDS)
            resource.setrlimit(resource.RLIMIT_CPU, (READER_CPU_SECONDS,) * 2)
            resource.setrlimit(resource.RLIMIT_AS, (READER_MEMORY_BYTES,) * 2)
            readers_filter.load()
            _read(file, reply, _decode_question(packet))
        os.close(file)
        os.close(reply)
        os.waitpid(reader, 0)


def _read(file: int, reply: int, question: Question) -> None:
    """The reader: answers once and ends, whatever happens."""
    from sockwarden.agent.probe.elf import Refusal, function_offsets

    answer: Answer
    try:
        with open(file, "rb", closefd=False) as stream:
            answer = Found(function_offsets(stream, question.symbols))
    except Refusal as refusal:
        answer = Refused(str(refusal)[:MAX_REASON_LENGTH])
    finally:
        try:
            os.write(reply, _encode(answer))
        finally:
            os._exit(0)


if __name__ == "__main__":
    main()
