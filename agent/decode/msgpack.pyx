# cython: language_level=3
"""The strings of MessagePack, as SignalR and socket.io send it too.

Taken for MessagePack is a message that is, from its first byte to its last, a row of values the
first of which is an array or a map.  It may be behind what these protocols put before it: a length
in a variable number of bytes (SignalR), or a byte that names the packet's type (engine.io 3).
Extension types and binary values are shown where they are text.
"""

from libc.stdint cimport uint8_t, uint64_t

from sockwarden.agent.decode cimport marks
from sockwarden.agent.decode.decoder cimport is_text, make_decoder
from sockwarden.agent.decode.strings cimport (
    Walk, walk_begin, walk_open, walk_scalar, walk_string,
)

cdef enum:
    PREFIX_MAX_BYTES = 5

cdef enum Kind:
    SCALAR
    STRING
    BYTES
    ARRAY
    MAP
    NONE


# From X'C0' on: what follows the first byte is a length of so many bytes, and what it counts.
cdef struct Format:
    uint8_t kind
    uint8_t length_bytes
    uint8_t extra_bytes        # of a fixed size, besides what the length counts

cdef Format *FORMATS = [
    [SCALAR, 0, 0], [NONE, 0, 0], [SCALAR, 0, 0], [SCALAR, 0, 0],          # nil, -, false, true
    [BYTES, 1, 0], [BYTES, 2, 0], [BYTES, 4, 0],                           # bin
    [BYTES, 1, 1], [BYTES, 2, 1], [BYTES, 4, 1],                           # ext
    [SCALAR, 0, 4], [SCALAR, 0, 8],                                        # float
    [SCALAR, 0, 1], [SCALAR, 0, 2], [SCALAR, 0, 4], [SCALAR, 0, 8],        # uint
    [SCALAR, 0, 1], [SCALAR, 0, 2], [SCALAR, 0, 4], [SCALAR, 0, 8],        # int
    [SCALAR, 0, 2], [SCALAR, 0, 3], [SCALAR, 0, 5], [SCALAR, 0, 9], [SCALAR, 0, 17],  # fixext
    [STRING, 1, 0], [STRING, 2, 0], [STRING, 4, 0],
    [ARRAY, 2, 0], [ARRAY, 4, 0], [MAP, 2, 0], [MAP, 4, 0],
]


cdef inline bint is_container(uint8_t first) noexcept nogil:
    return 0x80 <= first <= 0x9F or first >= 0xDC and first <= 0xDF


cdef size_t read_value(Walk *walk, const uint8_t *text, size_t left) noexcept nogil:
    """Bytes of the value at `text` without its items, or 0: there is none."""
    cdef uint8_t first = text[0]
    cdef const Format *format
    cdef uint64_t length = 0
    cdef size_t head = 1
    cdef int kind = SCALAR
    cdef size_t i
    if first >= 0xC0 and first < 0xE0:
        format = &FORMATS[first - 0xC0]
        kind = format.kind
        head = 1 + format.length_bytes
        if head + format.extra_bytes > left:
            return 0
        for i in range(1, head):
            length = length << 8 | text[i]
        head += format.extra_bytes
    elif 0xA0 <= first < 0xC0:
        kind = STRING
        length = first & 0x1F
    elif 0x90 <= first < 0xA0:
        kind = ARRAY
        length = first & 0x0F
    elif 0x80 <= first < 0x90:
        kind = MAP
        length = first & 0x0F
    if kind == NONE:
        return 0
    if kind == ARRAY or kind == MAP:
        # Every item has a byte at least.
        return head if length <= left and walk_open(walk, length, kind == MAP) else 0
    if length > left - head:
        return 0
    if kind == STRING or (kind == BYTES and length and is_text(text + head, length)):
        walk_string(walk, text + head, length)
    else:
        walk_scalar(walk)
    return head + length


cdef bint read_all(Walk *walk, const uint8_t *text, size_t size) noexcept nogil:
    cdef size_t place = 0
    cdef size_t taken
    while place < size:
        taken = read_value(walk, text + place, size - place)
        if not taken:
            return False
        place += taken
    return not walk.depth and walk.strings


cdef bint decode(const uint8_t *text, size_t size, uint8_t *out, size_t capacity,
                 size_t *written) noexcept nogil:
    cdef Walk walk
    cdef size_t start = 0
    while start < size and start < PREFIX_MAX_BYTES:
        if is_container(text[start]):
            walk_begin(&walk, out, capacity)
            if read_all(&walk, text + start, size - start):
                written[0] = walk.made
                return True
        start += 1
    return False


DECODER = make_decoder("msgpack", 12, marks.BINARY, decode)
