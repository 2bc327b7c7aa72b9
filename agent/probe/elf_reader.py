"""Reads hostile ELF files in processes that have no right to anything.

A file in a container may be made to break its reader, so the privileged helper only opens it
and hands the descriptor away:

    helper --(file, reply socket, names)--> server --fork--> reader --(offsets)--> helper

The processes are agent/probe/elf_server.py, which says why there is a fork.  Here is the helper's
side, which believes an answer no more than that each offset lies inside the file.

Whatever happens to a reader is a `Refused`, which the caller counts.  `ElfReader.ask` always
returns within `ASK_LIMIT_SECONDS`.
"""

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

SERVER: Final = "sockwarden.agent.probe.elf_server"
ASK_LIMIT_SECONDS: Final = 8.0
START_LIMIT_SECONDS: Final = 15.0
MAX_FILE_BYTES: Final = 4 << 30
MAX_PACKET_BYTES: Final = 16_384


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


READY: Final = b"ready"
encode = msgspec.msgpack.Encoder().encode
decode_question = msgspec.msgpack.Decoder(Question).decode
_decode_answer: Callable[[bytes], Answer] = msgspec.msgpack.Decoder(Answer).decode


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
        return _checked(packet, symbols, status.st_size)

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
                socket.send_fds(self._control, [encode(question)], descriptors)
            except OSError:  # it died since the last question
                self.close()
                self.restarts += 1
            else:
                return

    def _start(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(START_LIMIT_SECONDS)
        with theirs:
            self._server = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-m", SERVER, "--control", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                process_group=0,
            )
        try:
            ready = self._control.recv(MAX_PACKET_BYTES) == READY
        except TimeoutError:
            ready = False
        if not ready:
            self.close()
            raise ElfReaderError("the ELF reader could not confine itself; see its message above")


def _checked(packet: bytes, symbols: Sequence[str], size_bytes: int) -> Answer:
    """The answer as far as its reader, which the file may have taken over, can be believed."""
    if not packet:
        return Refused("its reader died: a limit, or tables that lie")
    try:
        answer = _decode_answer(packet)
    except msgspec.MsgspecError:
        return Refused("its reader gave no valid answer")
    if isinstance(answer, Found) and not (
        answer.offsets.keys() <= set(symbols)
        and all(0 < offset < size_bytes for offset in answer.offsets.values())
    ):
        return Refused("its reader named a place outside of it")
    return answer
