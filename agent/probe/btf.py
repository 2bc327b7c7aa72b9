"""Offsets of fields in the kernel's structures, from its own type information (BTF).

The running kernel describes itself in /sys/kernel/btf/vmlinux (Documentation/bpf/btf.rst), so
no kernel headers are needed.  `offsets` reads only what is asked for; members of anonymous
structs and unions count as members of what holds them.
"""

import struct
from collections.abc import Iterable
from pathlib import Path

VMLINUX = Path("/sys/kernel/btf/vmlinux")

_MAGIC = 0xEB9F
_HEADER = struct.Struct("<HBBIIIII")
_TYPE = struct.Struct("<III")
_MEMBER = struct.Struct("<III")
_STRUCT, _UNION = 4, 5
# Bytes behind a type's head: fixed, and for each of its `vlen` entries.
_TAIL = {
    1: (4, 0), 2: (0, 0), 3: (12, 0), 4: (0, 12), 5: (0, 12), 6: (0, 8), 7: (0, 0), 8: (0, 0),
    9: (0, 0), 10: (0, 0), 11: (0, 0), 12: (0, 0), 13: (0, 8), 14: (4, 0), 15: (0, 12),
    16: (0, 0), 17: (4, 0), 18: (0, 0), 19: (0, 12),
}  # fmt: skip


class BtfError(Exception):
    """The kernel's type information is absent, or not of the form that is documented."""


def read_offsets(
    wanted: Iterable[tuple[str, str]],
    path: Path = VMLINUX,
    *,
    optional: Iterable[tuple[str, str]] = (),
) -> dict[str, int]:
    """Byte offsets by "struct_field"; of `optional` those that this kernel has.

    Raises:
        BtfError: no BTF, or a structure or field that this kernel does not have.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BtfError(
            f"{path}: {error.strerror}; a kernel with CONFIG_DEBUG_INFO_BTF is needed"
        ) from error
    try:
        return _Btf(data).offsets(list(wanted), list(optional))
    except (struct.error, IndexError) as error:
        raise BtfError(f"{path}: not the BTF that is known: {error}") from error


class _Btf:
    def __init__(self, data: bytes) -> None:
        magic, _, _, header, types, types_size, strings, strings_size = _HEADER.unpack_from(data)
        if magic != _MAGIC:
            raise BtfError(f"not BTF: it begins with {magic:#x}")
        self._data = data
        self._types = header + types
        self._types_end = self._types + types_size
        self._strings = data[header + strings : header + strings + strings_size]
        self._places: list[int] = [0]  # by type id, from 1
        self._structs: dict[bytes, int] = {}

    def offsets(
        self, wanted: list[tuple[str, str]], optional: list[tuple[str, str]]
    ) -> dict[str, int]:
        self._index({name.encode() for name, _ in wanted + optional})
        found = {}
        for name, field in wanted + optional:
            place = self._structs.get(name.encode())
            offset = None if place is None else self._member(place, field.encode())
            if offset is not None:
                found[f"{name}_{field}"] = offset
            elif (name, field) in wanted:
                raise BtfError(f"this kernel has no field {field} in struct {name}")
        return found

    def _index(self, names: set[bytes]) -> None:
        at = self._types
        while at < self._types_end:
            name, info, _ = _TYPE.unpack_from(self._data, at)
            kind, count = info >> 24 & 0x1F, info & 0xFFFF
            self._places.append(at)
            if kind == _STRUCT and name and self._string(name) in names:
                self._structs.setdefault(self._string(name), at)
            if kind not in _TAIL:
                raise BtfError(f"type {len(self._places) - 1} is of the unknown kind {kind}")
            fixed, each = _TAIL[kind]
            at += _TYPE.size + fixed + each * count

    def _string(self, at: int) -> bytes:
        return self._strings[at : self._strings.index(b"\0", at)]

    def _member(self, place: int, wanted: bytes, depth: int = 0) -> int | None:
        info: int = _TYPE.unpack_from(self._data, place)[1]
        for index in range(info & 0xFFFF):
            at = place + _TYPE.size + index * _MEMBER.size
            name, kind, place_bits = _MEMBER.unpack_from(self._data, at)
            # With kind_flag the upper bits hold a bit field's size.
            bits: int = place_bits & 0xFFFFFF if info >> 31 else place_bits
            if name and self._string(name) == wanted:
                return bits // 8
            if not name and depth < 8 and self._kind(kind) in (_STRUCT, _UNION):
                inner = self._member(self._places[kind], wanted, depth + 1)
                if inner is not None:
                    return bits // 8 + inner
        return None

    def _kind(self, type_id: int) -> int:
        info: int = _TYPE.unpack_from(self._data, self._places[type_id])[1]
        return info >> 24 & 0x1F
