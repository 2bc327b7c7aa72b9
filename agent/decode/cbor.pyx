# cython: language_level=3
"""The strings of CBOR (RFC 8949).

Taken for CBOR is a message that is, from its first byte to its last, a sequence of data items
(RFC 8742) the first of which is an array or a map, tagged or not.  Byte strings are shown where
they are text; an indefinite-length string is shown in its chunks.
"""

from libc.stdint cimport UINT64_MAX, uint8_t, uint64_t

from sockwarden.agent.decode cimport marks
from sockwarden.agent.decode.decoder cimport is_text, make_decoder
from sockwarden.agent.decode.strings cimport (
    Walk, walk_begin, walk_break, walk_open, walk_scalar, walk_string,
)

cdef enum:
    INDEFINITE = 31
    BREAK = 0xFF

cdef enum Major:  # RFC 8949 section 3.1
    BYTES = 2
    TEXT
    ARRAY
    MAP
    TAG


cdef size_t argument(const uint8_t *text, size_t left, uint64_t *value) noexcept nogil:
    """Bytes of the head at `text`, or 0; an indefinite length is UINT64_MAX."""
    cdef int information = text[0] & 0x1F
    cdef size_t count
    cdef size_t i
    value[0] = information
    if information < 24:
        return 1
    if information == INDEFINITE:
        value[0] = UINT64_MAX
        return 1
    if information > 27:
        return 0
    count = <size_t> 1 << (information - 24)
    if count >= left:
        return 0
    value[0] = 0
    for i in range(1, count + 1):
        value[0] = value[0] << 8 | text[i]
    return count + 1


cdef size_t read_item(Walk *walk, const uint8_t *text, size_t left) noexcept nogil:
    """Bytes of the item at `text` without those in it, or 0: there is none."""
    cdef int major = text[0] >> 5
    cdef uint64_t value
    cdef size_t head
    if text[0] == BREAK:
        return 1 if walk_break(walk) else 0
    head = argument(text, left, &value)
    if not head or major == TAG:
        return head if value != UINT64_MAX else 0
    if value == UINT64_MAX and text[0] & 0x1F == INDEFINITE:
        if major < BYTES or major > MAP:
            return 0
        return head if walk_open(walk, UINT64_MAX, major == MAP) else 0
    if major == ARRAY or major == MAP:
        return head if value <= left and walk_open(walk, value, major == MAP) else 0
    if major != BYTES and major != TEXT:
        walk_scalar(walk)
        return head
    if value > left - head:
        return 0
    if major == TEXT or (value and is_text(text + head, value)):
        walk_string(walk, text + head, value)
    else:
        walk_scalar(walk)
    return head + value


cdef bint decode(const uint8_t *text, size_t size, uint8_t *out, size_t capacity,
                 size_t *written) noexcept nogil:
    cdef Walk walk
    cdef size_t place = 0
    cdef size_t taken
    cdef uint64_t value
    while place < size and text[place] >> 5 == TAG:
        taken = argument(text + place, size - place, &value)
        if not taken:
            return False
        place += taken
    if place >= size or not (text[place] >> 5 == ARRAY or text[place] >> 5 == MAP):
        return False
    walk_begin(&walk, out, capacity)
    while place < size:
        taken = read_item(&walk, text + place, size - place)
        if not taken:
            return False
        place += taken
    written[0] = walk.made
    return not walk.depth and walk.strings


DECODER = make_decoder("cbor", 14, marks.BINARY, decode)
