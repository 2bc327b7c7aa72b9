"""How often ordinary messages hold a row of byte sets: what literals and windows are chosen by.

It is counted in a piece of `sample`'s messages.  A number of many bits stands for the places of
a byte, one bit each, so a row is a few shifts and ands.  Rows that are not found there are told
apart by the frequencies of their bytes.
"""

import functools
import math

from sockwarden.agent.rules import sample
from sockwarden.agent.rules.regex import ANY, mask_of

_MESSAGES = 200
# The weight of an estimate by single bytes beside the count.
_ESTIMATE_SHARE = 0.02

Row = tuple[int, ...]  # byte sets, as in `regex`


@functools.cache
def _messages() -> list[bytes]:
    return sample.messages(_MESSAGES, seed=2)


@functools.cache
def _places() -> tuple[int, tuple[int, ...]]:
    """How many bytes the piece has, and the places of each byte."""
    text = b"\0\0\0".join(_messages())
    rows = [bytearray(len(text) // 8 + 1) for _ in range(256)]
    for place, octet in enumerate(text):
        rows[octet][place >> 3] |= 1 << (place & 7)
    return len(text), tuple(int.from_bytes(row, "little") for row in rows)


@functools.cache
def places(mask: int) -> int:
    """Where a byte of the set stands."""
    size, of_octet = _places()
    if mask == ANY:
        return (1 << size) - 1
    found = 0
    for octet in range(256):
        if mask >> octet & 1:
            found |= of_octet[octet]
    return found


@functools.cache
def share(mask: int) -> float:
    """Of all bytes, those that are in the set; those that were not seen are not impossible."""
    size, _ = _places()
    return (places(mask).bit_count() + mask.bit_count() / 4) / (size + 64)


@functools.cache
def _octets() -> list[int]:
    return [mask_of(message) for message in _messages()]


@functools.cache
def presence(mask: int) -> float:
    """Of all messages, those that hold a byte of the set."""
    if mask == ANY:
        return 1.0
    holding = sum(1 for octets in _octets() if mask & octets)
    return (holding + 1) / (_MESSAGES + 2)


@functools.cache
def per_kilobyte(row: Row) -> float:
    if not row:
        return 1024.0
    size, _ = _places()
    # The rarest first: most rows are not found, and that is soon known.
    order = sorted(range(len(row)), key=lambda offset: share(row[offset]))
    found = places(row[order[0]]) >> order[0]
    for offset in order[1:]:
        if not found:
            break
        found &= places(row[offset]) >> offset
    estimate = math.prod(map(share, row))
    return 1024 * (found.bit_count() / size + _ESTIMATE_SHARE * estimate)
