"""Where functions are in an ELF file: symbol names in, file offsets out.

An offset is what a uprobe wants: the symbol's virtual address, moved by the PT_LOAD segment
that holds it.  The dynamic table is asked first, then the full one, which a static copy of a
library has where its file was not stripped.

The file is hostile.  `function_offsets` returns offsets that lie inside the file or raises
`UnfitFileError`; no table above its bound is read.  Time and memory are bounded by the process
around it (agent/probe/elf_reader.py), since pyelftools follows what the file says.
"""

import os
import platform
import struct
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final, NamedTuple

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.elffile import ELFFile

MAX_SECTIONS: Final = 4_096
MAX_SEGMENTS: Final = 256
MAX_STRINGS_BYTES: Final = 128 << 20
MAX_SYMBOLS_BYTES: Final = 96 << 20  # 4 million symbols
MAX_PLACES: Final = 4_096  # of one name in a string table

MACHINES: Final = {"x86_64": "EM_X86_64", "aarch64": "EM_AARCH64"}

_SYMBOL: Final = struct.Struct("<IBBHQQ")  # st_name, st_info, st_other, st_shndx, st_value, st_size
# sh_name, sh_type, sh_flags, sh_addr, sh_offset, sh_size, sh_link, sh_info, sh_addralign,
# sh_entsize
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SHT_SYMTAB, _SHT_DYNSYM = 2, 11
_STT_FUNC: Final = 2
_SHN_UNDEF: Final = 0
_PF_X: Final = 1


class UnfitFileError(Exception):
    """The file is no executable of this machine, or its tables are not to be trusted."""


class _Section(NamedTuple):
    kind: int
    offset: int
    size_bytes: int
    link: int


class _Segment:
    """An executable PT_LOAD: addresses to file offsets."""

    def __init__(self, address: int, offset: int, size_bytes: int) -> None:
        self.address, self.offset, self.size_bytes = address, offset, size_bytes

    def file_offset(self, address: int) -> int | None:
        inside = address - self.address
        return self.offset + inside if 0 <= inside < self.size_bytes else None


def function_offsets(stream: BinaryIO, symbols: Sequence[str]) -> dict[str, int]:
    """File offsets of those of `symbols` that the file defines as functions.

    Raises:
        UnfitFileError: the file cannot be read as an ELF file of this machine.
    """
    try:
        return _function_offsets(stream, symbols)
    except UnfitFileError:
        raise
    # What pyelftools and the parsers below it raise on bytes that lie.
    except (
        ELFError,
        ConstructError,
        struct.error,
        ArithmeticError,
        AttributeError,
        LookupError,
        MemoryError,
        OSError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise UnfitFileError(f"malformed: {type(error).__name__}") from None


def _function_offsets(stream: BinaryIO, symbols: Sequence[str]) -> dict[str, int]:
    size_bytes = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    elf = ELFFile(stream)
    if elf.elfclass != 64 or elf["e_machine"] != MACHINES.get(platform.machine()):
        raise UnfitFileError(
            f"built for {elf['e_machine']}, {elf.elfclass} bit, not for this machine"
        )
    if not elf.little_endian:
        raise UnfitFileError("big-endian")
    segments = list(_executable_segments(elf, size_bytes))
    found: dict[str, int] = {}
    for kind in (_SHT_DYNSYM, _SHT_SYMTAB):
        missing = [symbol for symbol in symbols if symbol not in found]
        for symbol, address in _addresses(elf, stream, kind, missing):
            for segment in segments:
                offset = segment.file_offset(address)
                if offset is not None:
                    found.setdefault(symbol, offset)
    return found


def _executable_segments(elf: ELFFile, size_bytes: int) -> Iterator[_Segment]:
    if elf.num_segments() > MAX_SEGMENTS:
        raise UnfitFileError(f"more than {MAX_SEGMENTS} segments")
    for segment in elf.iter_segments("PT_LOAD"):
        if segment["p_flags"] & _PF_X:
            # Only what is in the file can be probed, so a lying p_filesz is cut to it.
            end = min(segment["p_offset"] + segment["p_filesz"], size_bytes)
            yield _Segment(segment["p_vaddr"], segment["p_offset"], end - segment["p_offset"])


def _addresses(
    elf: ELFFile, stream: BinaryIO, kind: int, symbols: Sequence[str]
) -> Iterator[tuple[str, int]]:
    """Scans a symbol table for the places of the names in its string table.

    Going the other way, from each symbol to its name, takes seconds in Node.js.
    """
    sections = _sections(elf, stream) if symbols else []
    table = next((section for section in sections if section.kind == kind), None)
    if table is None:
        return
    strings = _contents(stream, sections[table.link], MAX_STRINGS_BYTES)
    names: dict[int, str] = {}
    for symbol in symbols:
        names.update((place, symbol) for place in _places(strings, symbol.encode() + b"\0"))
    if not names:
        return
    entries = _contents(stream, table, MAX_SYMBOLS_BYTES)
    whole = len(entries) - len(entries) % _SYMBOL.size
    for name, info, _, section, address, _ in _SYMBOL.iter_unpack(memoryview(entries)[:whole]):
        if name in names and info & 0xF == _STT_FUNC and section != _SHN_UNDEF:
            yield names[name], address


def _sections(elf: ELFFile, stream: BinaryIO) -> list[_Section]:
    """Headers alone: pyelftools reads hash tables with a section, 50 ms in Node.js, which a
    server that starts at the same time does not wait for."""
    if elf.num_sections() > MAX_SECTIONS:
        raise UnfitFileError(f"more than {MAX_SECTIONS} sections")
    if elf["e_shentsize"] != _SECTION.size:
        raise UnfitFileError(f"section headers of {elf['e_shentsize']} bytes")
    stream.seek(elf["e_shoff"])
    headers = stream.read(elf.num_sections() * _SECTION.size)
    return [
        _Section(kind, offset, size_bytes, link)
        for _, kind, _, _, offset, size_bytes, link, _, _, _ in _SECTION.iter_unpack(headers)
    ]


def _contents(stream: BinaryIO, section: _Section, limit_bytes: int) -> bytes:
    if section.size_bytes > limit_bytes:
        raise UnfitFileError(f"a table above {limit_bytes >> 20} MiB")
    stream.seek(section.offset)
    return stream.read(section.size_bytes)


def _places(strings: bytes, name: bytes) -> Iterator[int]:
    """Every offset at which `name` is read; linkers let a name be the tail of a longer one."""
    place = strings.find(name)
    for _ in range(MAX_PLACES):
        if place < 0:
            return
        yield place
        place = strings.find(name, place + 1)
    raise UnfitFileError("a name repeated without end in its string table")
