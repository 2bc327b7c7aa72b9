"""What is attached: to an inode, whatever its names, once, for as long as one of them is used.

Attaching is quick.  Detaching is not: for each probe the kernel waits for all processors, a tenth
of a second or so.  So it is done in a thread of its own, and what it has still to do counts for
the bound on all.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Protocol

from sockwarden.agent.probe import tls
from sockwarden.agent.probe.attach import AttachError
from sockwarden.agent.probe.elf_reader import Answer, Found
from sockwarden.agent.probe.mapped_file import Identity

MAX_ATTACHED: Final = 512  # files, of about 14 probes each
MAX_ATTACHED_PER_PROCESS: Final = 16

_log = logging.getLogger(__name__)

Key = tuple[str, int]  # device and inode, as in /proc/PID/maps


class Attachment(Protocol):
    def close(self) -> None: ...


class Reader(Protocol):
    def ask(self, file: int, symbols: tuple[str, ...]) -> Answer: ...


# Attaches the programs of a library to the functions at these offsets of an open file.
Attach = Callable[[tls.Library, Mapping[str, int], int], Attachment]


class _Attached:
    __slots__ = ("attachments", "names")

    def __init__(self, attachments: list[Attachment], name: Key) -> None:
        self.attachments = attachments
        self.names = {name}


class AttachedFiles:
    """Used from one thread; `close` detaches all."""

    def __init__(self, reader: Reader, attach: Attach) -> None:
        self._reader, self._attach = reader, attach
        self._files: dict[Identity, _Attached] = {}
        self._ender = ThreadPoolExecutor(max_workers=1, thread_name_prefix="detaching")
        self._ending: set[Future[None]] = set()
        self._counters = dict.fromkeys(
            ("tls_files_refused", "tls_attach_failed", "tls_files_left_out"), 0
        )
        self.impairment: str | None = None

    @property
    def counters(self) -> dict[str, int]:
        return {"tls_files_attached": len(self._files), **self._counters}

    def add(
        self,
        identity: Identity,
        name: Key,
        label: str,
        descriptor: int,
        neighbours: Iterable[Identity | None],
    ) -> None:
        """An open file, if a TLS library is in it.

        Args:
            label: what the log calls it.
            neighbours: the files that its process has mapped.
        """
        if attached := self._files.get(identity):
            attached.names.add(name)
            return
        answer = self._reader.ask(descriptor, tls.symbols())
        if not isinstance(answer, Found):
            self._counters["tls_files_refused"] += 1
            _log.info("%r was refused: %s", label, answer.reason)
            return
        symbols = frozenset(answer.offsets)
        libraries = [library for library in tls.libraries() if library.defined_by(symbols)]
        if libraries and self._is_full(neighbours):
            self._counters["tls_files_left_out"] += 1
            _log.warning("%r is not watched: it is one too many", label)
            return
        attachments: list[Attachment] = []
        for library in libraries:
            try:
                attachments.append(self._attach(library, answer.offsets, descriptor))
            except AttachError as error:
                self._counters["tls_attach_failed"] += 1
                self.impairment = f"{library.name} in {label!r} is not watched: {error}"
                _log.warning("%s", self.impairment)
            else:
                _log.info("watching %s in %r", library.name, label)
        if attachments:
            self._files[identity] = _Attached(attachments, name)

    def remove(self, identity: Identity | None, name: Key) -> None:
        """The file is not used by this name any more."""
        attached = self._files.get(identity) if identity else None
        if attached and identity:
            attached.names.discard(name)
            if not attached.names:
                del self._files[identity]
                self._end(attached)

    def close(self) -> None:
        for attached in self._files.values():
            self._end(attached)
        self._files.clear()
        self._ender.shutdown()

    def _is_full(self, neighbours: Iterable[Identity | None]) -> bool:
        """Copies without number must neither fill the kernel nor take the others' places."""
        if sum(one in self._files for one in neighbours) >= MAX_ATTACHED_PER_PROCESS:
            return True
        if len(self._files) + len(self._ending) >= MAX_ATTACHED:
            self.impairment = f"more than {MAX_ATTACHED} TLS libraries: the others are not watched"
            return True
        return False

    def _end(self, attached: _Attached) -> None:
        self._ending = {ending for ending in self._ending if not ending.done()}
        self._ending.update(self._ender.submit(one.close) for one in attached.attachments)
