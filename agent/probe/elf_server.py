"""The processes that look into hostile ELF files: a server, and one fork of it a file.

The server is nobody, without capabilities, under seccomp; it never looks into a file.  Each
reader that it forks tightens the filter to reading one descriptor and answering once.  So what
a file does to its reader ends with that file: no later answer comes from a process that an
earlier file could have taken over.  A fork costs 3 ms, where a new interpreter for each file
would cost 80.  It has the priority of any process: a server that has just been started listens
tens of milliseconds later, and is to be watched by then.

A reader is bounded in memory, CPU time and wall time, and the kernel ends it when it exceeds
one; its reply socket then closes without an answer.

Run as `python -m sockwarden.agent.probe.elf_server --control FD` by agent/probe/elf_reader.py.
"""

import argparse
import gc
import os
import resource
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sockwarden.agent.probe import elf, privileges, syscalls
from sockwarden.agent.probe.elf_reader import (
    MAX_PACKET_BYTES,
    READY,
    Answer,
    Found,
    Question,
    Refused,
    decode_question,
    encode,
)

READER_MEMORY_BYTES: Final = 512 << 20
READER_CPU_SECONDS: Final = 3
READER_WALL_SECONDS: Final = 5
MAX_REASON_LENGTH: Final = 200


def main(arguments: Sequence[str] | None = None) -> None:
    """The server, until its socket closes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--control", type=int, required=True)
    control = socket.socket(fileno=parser.parse_args(arguments).control)

    # pyelftools builds its parsers on first use: before the filter.
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
    control.send(READY)

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
            _read(file, reply, decode_question(packet))
        os.close(file)
        os.close(reply)
        os.waitpid(reader, 0)


def _read(file: int, reply: int, question: Question) -> None:
    """The reader: answers once and ends, whatever happens."""
    answer: Answer
    try:
        with open(file, "rb", closefd=False) as stream:
            answer = Found(elf.function_offsets(stream, question.symbols))
    except elf.UnfitFileError as refusal:
        answer = Refused(str(refusal)[:MAX_REASON_LENGTH])
    finally:
        try:
            os.write(reply, encode(answer))
        finally:
            os._exit(0)


if __name__ == "__main__":
    main()
