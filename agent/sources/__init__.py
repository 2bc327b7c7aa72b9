"""Inputs of `analyze`: files that hold what a network or a browser saw.

An input is one module of this package with a `SOURCE`; this registry finds it.  A source tells
by a file's first octets whether the file is of its kind, and reads it into a batch of records.
Sources run without privilege: their files may be hostile.  All that can go wrong with a file is
a SourceError, and what was read before it has been judged.
"""

import importlib
import pkgutil
from functools import cache
from typing import BinaryIO, Protocol

from sockwarden.agent.sources.batch import RecordBatch

HEAD_BYTES = 64


class SourceError(Exception):
    """A file, or what follows from `place` on, cannot be read."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place = place
        self.reason = reason


class Input:
    """An open file of which the first octets were looked at.  It need not be seekable."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._ahead = b""
        while len(self._ahead) < HEAD_BYTES and (more := file.read(HEAD_BYTES - len(self._ahead))):
            self._ahead += more
        self.head = self._ahead

    def read(self, size: int) -> bytes:
        """Up to `size` octets, which is positive; none at the end."""
        if self._ahead:
            ahead, self._ahead = self._ahead[:size], self._ahead[size:]
            return ahead
        return self._file.read(size)


class Source(Protocol):
    name: str

    def recognises(self, head: bytes) -> bool:
        """Whether a file with these first HEAD_BYTES octets is one."""

    def read(self, file: Input, batch: RecordBatch) -> None:
        """Reads all of it.

        Raises:
            SourceError: the file is malformed; what was whole has been put into the batch.
        """


@cache
def sources() -> tuple[Source, ...]:
    """Every source of this package, by name."""
    modules = (
        importlib.import_module(f"{__name__}.{module.name}")
        for module in pkgutil.iter_modules(__path__)
    )
    found = [module.SOURCE for module in modules if hasattr(module, "SOURCE")]
    return tuple(sorted(found, key=lambda source: source.name))


def read(file: BinaryIO, batch: RecordBatch) -> None:
    """Reads a file of any known kind and flushes the batch.

    Raises:
        SourceError: as of the source, or the file's kind is not known.
    """
    try:
        content = Input(file)
        for source in sources():
            if source.recognises(content.head):
                source.read(content, batch)
                return
    except OSError as error:
        raise SourceError("reading", error.strerror or str(error)) from error
    finally:
        batch.flush()
    names = ", ".join(source.name for source in sources())
    what = f"it begins with {content.head[:4].hex(' ')}" if content.head else "it is empty"
    raise SourceError("byte 0", f"not a file of a known kind ({names}): {what}")
