# cython: language_level=3
"""The strings of Protocol Buffers, without a schema.

Taken for such a message is one that is, from its first byte to its last, a row of fields, and
holds a string.  A length-delimited field is a string if all of it is text, else a message if it
is a row of fields, else bytes.  A message may be behind the five bytes of gRPC's framing.
"""

from libc.stdint cimport uint8_t, uint64_t

from sockwarden.agent.decode cimport marks
from sockwarden.agent.decode.decoder cimport is_text, make_decoder
from sockwarden.agent.decode.strings cimport Walk, walk_begin, walk_string

cdef enum:
    VARINT_MAX_BYTES = 10
    FIELD_LIMIT = 1 << 29
    FRAMING_BYTES = 5
    NESTING_MAX = 16

cdef enum Wire:
    VARINT = 0
    FIXED_64 = 1
    DELIMITED = 2
    FIXED_32 = 5


cdef size_t varint(const uint8_t *text, size_t left, uint64_t *value) noexcept nogil:
    """Bytes of the number at `text`, or 0."""
    cdef size_t i
    value[0] = 0
    for i in range(min(left, <size_t> VARINT_MAX_BYTES)):
        value[0] |= <uint64_t> (text[i] & 0x7F) << (7 * i)
        if not text[i] & 0x80:
            return i + 1
    return 0


cdef size_t field(const uint8_t *text, size_t left, size_t *content) noexcept nogil:
    """Bytes of the field at `text`, or 0; `content`: where what is delimited begins, or 0."""
    cdef uint64_t tag, value
    cdef size_t head = varint(text, left, &tag)
    cdef size_t taken
    content[0] = 0
    if not head or tag >> 3 == 0 or tag >> 3 >= FIELD_LIMIT:
        return 0
    if tag & 7 == VARINT:
        taken = varint(text + head, left - head, &value)
        return head + taken if taken else 0
    if tag & 7 == FIXED_64:
        return head + 8 if left - head >= 8 else 0
    if tag & 7 == FIXED_32:
        return head + 4 if left - head >= 4 else 0
    if tag & 7 != DELIMITED:
        return 0
    taken = varint(text + head, left - head, &value)
    if not taken or value > left - head - taken:
        return 0
    content[0] = head + taken
    return head + taken + value


cdef bint is_message(const uint8_t *text, size_t size) noexcept nogil:
    """Whether all of it is fields; what they hold is not asked."""
    cdef size_t place = 0
    cdef size_t content, taken
    while place < size:
        taken = field(text + place, size - place, &content)
        if not taken:
            return False
        place += taken
    return size > 0


cdef void put_strings(Walk *walk, const uint8_t *text, size_t size) noexcept nogil:
    """The strings of a message.  Where a message is in it, its end is noted and it is entered."""
    cdef size_t ends[NESTING_MAX]
    cdef int depth = 0
    cdef size_t place = 0
    cdef size_t content, taken, first
    ends[0] = size
    while depth >= 0:
        if place >= ends[depth]:
            depth -= 1
            continue
        taken = field(text + place, ends[depth] - place, &content)
        first = place + content
        place += taken
        if not content or first == place:
            continue
        if is_text(text + first, place - first):
            walk_string(walk, text + first, place - first)
        elif depth + 1 < NESTING_MAX and is_message(text + first, place - first):
            depth += 1
            ends[depth] = place
            place = first


cdef bint decode(const uint8_t *text, size_t size, uint8_t *out, size_t capacity,
                 size_t *written) noexcept nogil:
    cdef Walk walk
    cdef size_t start = 0
    if not is_message(text, size):
        start = FRAMING_BYTES
        if size <= start or text[0] > 1 or not is_message(text + start, size - start):
            return False
    walk_begin(&walk, out, capacity)
    put_strings(&walk, text + start, size - start)
    written[0] = walk.made
    return walk.strings > 0


DECODER = make_decoder("protobuf", 18, marks.BINARY, decode)
