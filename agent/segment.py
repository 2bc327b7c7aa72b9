"""The form of the spool's files: segments of records, and the cursor beside them.

    DIRECTORY/lock                        flock(2) of the one user
    DIRECTORY/cursor                      how far the collector acknowledged
    DIRECTORY/00000000000000000001.seg    segments, named by their first sequence
    DIRECTORY/00000000000000004711.seg    the last one is written, all others are sealed

All integers are little-endian.

    segment   = header record*
    header    = magic "SWSPOOL1" (8) | spool (8) | first sequence (8) | crc32c of those (4)
    record    = marker F5 53 57 52 (4) | length (4) | crc32c (4) | sequence (8) | alert (length)
    cursor    = magic "SWCURSR1" (8) | spool (8) | sequence (8) | crc32c of those (4)

The CRC of a record covers sequence and alert.  The alert is a msgpack map of its fields, in
`agent/alert.py`'s names.  A marker begins with an octet that UTF-8 never contains, and an
alert's strings are UTF-8: nobody who shapes an alert can plant a false record inside it.

What is read here may be damaged anywhere: `scan` finds each whole record whatever stands
between them, with a bounded buffer, and nothing raises for what a file contains but `decode`.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import google_crc32c
import msgpack
import msgspec

from sockwarden.agent.alert import Alert

SEGMENT_MAGIC = b"SWSPOOL1"
CURSOR_MAGIC = b"SWCURSR1"
MAX_RECORD_BYTES = 512 << 10

_MARKER = b"\xf5SWR"
_HEAD = struct.Struct("<8sQQ")
_CRC = struct.Struct("<I")
_RECORD = struct.Struct("<4sIIQ")
_SEQUENCE = struct.Struct("<Q")
HEAD_BYTES = _HEAD.size + _CRC.size
# The smallest record there can be is larger than this.
RECORD_HEAD_BYTES = _RECORD.size
# A record that begins in the first half of a window ends in it.
_WINDOW_BYTES = 2 * (MAX_RECORD_BYTES + RECORD_HEAD_BYTES)


class NotAnAlertError(ValueError):
    """A record is whole by its CRC, and yet holds no alert: another version wrote it."""


class Record(NamedTuple):
    """A whole record: its place in the file, where it ends, and its alert still encoded."""

    start: int
    end: int
    sequence: int
    body: bytes


def head(magic: bytes, spool: int, sequence: int) -> bytes:
    """The header of a segment, or the cursor."""
    content = _HEAD.pack(magic, spool, sequence)
    return content + _CRC.pack(google_crc32c.value(content))


def read_head(path: Path, magic: bytes) -> tuple[int, int] | None:
    """Spool and sequence of a segment's header or of the cursor; None: absent or damaged."""
    try:
        with path.open("rb") as file:
            content = file.read(HEAD_BYTES)
    except FileNotFoundError:
        return None
    if len(content) < HEAD_BYTES or content[:8] != magic:
        return None
    if _CRC.unpack_from(content, _HEAD.size)[0] != google_crc32c.value(content[: _HEAD.size]):
        return None
    _, spool, sequence = _HEAD.unpack_from(content)
    return spool, sequence


def encode(sequence: int, alert: Alert) -> bytes:
    """The record; it may be larger than MAX_RECORD_BYTES, which `scan` would not find."""
    body: bytes = msgpack.packb(msgspec.to_builtins(alert))
    crc = google_crc32c.value(_SEQUENCE.pack(sequence) + body)
    return _RECORD.pack(_MARKER, len(body), crc, sequence) + body


def decode(body: bytes) -> Alert:
    """Raises `NotAnAlertError`."""
    try:
        return msgspec.convert(msgpack.unpackb(body), Alert)
    except (ValueError, msgspec.MsgspecError) as error:
        raise NotAnAlertError(str(error)) from error


def scan(path: Path, start: int, end: int) -> Iterator[Record]:
    """The whole records in that part of a file, stepping over whatever else is there."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        position = start
        while position < end:
            file.seek(position)
            window = file.read(min(_WINDOW_BYTES, end - position))
            final = len(window) < _WINDOW_BYTES
            used = 0
            for record in _scan_window(window, final):
                used = record.end
                yield record._replace(start=position + record.start, end=position + record.end)
            if final:
                return
            position += used or _WINDOW_BYTES // 2


def _scan_window(window: bytes, final: bool) -> Iterator[Record]:
    """The whole records in `window`; unless `final`, one that goes beyond its end stops it."""
    at = window.find(_MARKER)
    while at >= 0 and at + _RECORD.size <= len(window):
        _, length, crc, sequence = _RECORD.unpack_from(window, at)
        end = at + _RECORD.size + length
        if length <= MAX_RECORD_BYTES and end > len(window) and not final:
            return
        body = window[at + _RECORD.size : end]
        whole = length <= MAX_RECORD_BYTES and end <= len(window)
        if whole and google_crc32c.value(_SEQUENCE.pack(sequence) + body) == crc:
            yield Record(at, end, sequence, body)
            at = window.find(_MARKER, end)
        else:
            at = window.find(_MARKER, at + 1)
