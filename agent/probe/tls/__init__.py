"""What a TLS library is to the probe: a row of data, one file a library.

A file of this package holds one `LIBRARY`.  It names the functions that carry plaintext and,
for each, the BPF programs (agent/bpf) that stand at its entry and its return.  Nothing else
in Sockwarden knows a TLS library by name, so a new library that is called in a known way is a
new file here and no new code.

A library is told by its symbols.  The name of a file only says how soon it is looked at:
static copies live in executables (Node.js) and bundles carry hashed names.
"""

import importlib
import pkgutil
from fnmatch import fnmatchcase
from functools import cache

import msgspec


class Function(msgspec.Struct, frozen=True):
    """A function and the names of the programs at its entry and its return."""

    symbol: str
    enter: str
    exit: str | None = None
    required: bool = False


class Library(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is the value of "tls" in reports, `source` is of `enum sw_source`."""

    name: str
    source: int
    file_names: tuple[str, ...]
    functions: tuple[Function, ...]

    def likely(self, file_name: str) -> bool:
        return any(fnmatchcase(file_name, pattern) for pattern in self.file_names)

    def defined_by(self, symbols: frozenset[str]) -> bool:
        """Whether a file that defines these symbols holds this library."""
        return all(f.symbol in symbols for f in self.functions if f.required)


@cache
def libraries() -> tuple[Library, ...]:
    """Every library of this package, in the order of `source`."""
    found = [
        importlib.import_module(f"{__name__}.{module.name}").LIBRARY
        for module in pkgutil.iter_modules(__path__)
    ]
    return tuple(sorted(found, key=lambda library: library.source))


@cache
def symbols() -> tuple[str, ...]:
    """Every function of every library, once: what an ELF file is asked for."""
    return tuple(dict.fromkeys(f.symbol for library in libraries() for f in library.functions))
