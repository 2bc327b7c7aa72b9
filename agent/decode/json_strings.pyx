# cython: language_level=3
"""The escapes of JSON strings (RFC 8259 section 7), wherever they stand.

JSON has backslashes in strings only, so of a JSON text this is the text with its strings
decoded.  It does not ask where a string begins: inside a string of a string the quotes of the
outer one no longer tell, and an envelope need not be JSON as a whole.

A pair of surrogates becomes its character, a lone one U+FFFD.  What is no escape stays.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memchr, memcpy

from sockwarden.agent.decode.decoder cimport hex_value, make_decoder

cdef enum:
    BACKSLASH = 92
    REPLACEMENT = 0xFFFD
    UTF8_MAX_BYTES = 4


cdef inline int simple_escape(uint8_t c) noexcept nogil:
    """What backslash and `c` stand for, or -1."""
    if c == 34 or c == BACKSLASH or c == 47:  # " \ /
        return c
    if c == 98:
        return 8
    if c == 102:
        return 12
    if c == 110:
        return 10
    if c == 114:
        return 13
    if c == 116:
        return 9
    return -1


cdef inline int code_unit(const uint8_t *text, size_t left) noexcept nogil:
    """The UTF-16 code unit that `\\uXXXX` at `text` stands for, or -1."""
    cdef int value = 0
    cdef int digit
    cdef int i
    if left < 6 or text[0] != BACKSLASH or text[1] != 117:
        return -1
    for i in range(2, 6):
        digit = hex_value(text[i])
        if digit < 0:
            return -1
        value = value << 4 | digit
    return value


cdef inline size_t put_utf8(uint32_t point, uint8_t *out) noexcept nogil:
    if point < 0x80:
        out[0] = <uint8_t> point
        return 1
    if point < 0x800:
        out[0] = <uint8_t> (0xC0 | point >> 6)
        out[1] = <uint8_t> (0x80 | (point & 0x3F))
        return 2
    if point < 0x10000:
        out[0] = <uint8_t> (0xE0 | point >> 12)
        out[1] = <uint8_t> (0x80 | (point >> 6 & 0x3F))
        out[2] = <uint8_t> (0x80 | (point & 0x3F))
        return 3
    out[0] = <uint8_t> (0xF0 | point >> 18)
    out[1] = <uint8_t> (0x80 | (point >> 12 & 0x3F))
    out[2] = <uint8_t> (0x80 | (point >> 6 & 0x3F))
    out[3] = <uint8_t> (0x80 | (point & 0x3F))
    return 4


cdef inline size_t decode_escape(const uint8_t *text, size_t left, uint8_t *out,
                                 size_t *written) noexcept nogil:
    """Bytes of the escape at `text` (0: it is none); its UTF-8 goes to `out`."""
    cdef int first = code_unit(text, left)
    cdef int second
    if first < 0:
        first = simple_escape(text[1]) if left >= 2 else -1
        if first < 0:
            return 0
        out[0] = <uint8_t> first
        written[0] = 1
        return 2
    if 0xD800 <= first <= 0xDBFF:
        second = code_unit(text + 6, left - 6)
        if 0xDC00 <= second <= 0xDFFF:
            written[0] = put_utf8(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00), out)
            return 12
    if 0xD800 <= first <= 0xDFFF:
        first = REPLACEMENT
    written[0] = put_utf8(first, out)
    return 6


cdef bint decode(const uint8_t *text, size_t size, uint8_t *out, size_t capacity,
                 size_t *written) noexcept nogil:
    cdef size_t read = 0
    cdef size_t made = 0
    cdef size_t plain, taken, put
    cdef uint8_t character[UTF8_MAX_BYTES]
    cdef const uint8_t *escape
    cdef bint decoded = False
    while read < size:
        escape = <const uint8_t *> memchr(text + read, BACKSLASH, size - read)
        plain = escape - (text + read) if escape is not NULL else size - read
        if plain > capacity - made:
            plain = capacity - made
        memcpy(out + made, text + read, plain)
        made += plain
        read += plain
        if read >= size or made >= capacity:
            break
        taken = decode_escape(text + read, size - read, character, &put)
        if taken:
            decoded = True
        else:
            character[0] = BACKSLASH
            put = taken = 1
        if put > capacity - made:
            break
        memcpy(out + made, character, put)
        made += put
        read += taken
    written[0] = made
    return decoded


DECODER = make_decoder("json_strings", 10, 2, BACKSLASH, decode)
