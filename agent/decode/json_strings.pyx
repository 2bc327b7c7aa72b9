# cython: language_level=3
"""The escapes of JSON strings (RFC 8259 section 7), wherever they stand.

JSON has backslashes in strings only, so of a JSON text this is the text with its strings
decoded.  It does not ask where a string begins: inside a string of a string the quotes of the
outer one no longer tell, and an envelope need not be JSON as a whole.

A pair of surrogates becomes its character, a lone one U+FFFD.
"""

from libc.stdint cimport uint8_t

from sockwarden.agent.decode cimport marks
from sockwarden.agent.decode.decoder cimport make_decoder, put_utf8
from sockwarden.agent.decode.escapes cimport hex_number, replace_escapes

cdef enum:
    BACKSLASH = 92


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
    if left < 6 or text[0] != BACKSLASH or text[1] != 117:
        return -1
    return hex_number(text + 2, 4)


cdef size_t escape(const uint8_t *text, size_t left, uint8_t *out, size_t *put) noexcept nogil:
    cdef int first = code_unit(text, left)
    cdef int second
    if first < 0:
        first = simple_escape(text[1]) if left >= 2 else -1
        if first < 0:
            return 0
        out[0] = <uint8_t> first
        put[0] = 1
        return 2
    if 0xD800 <= first <= 0xDBFF:
        second = code_unit(text + 6, left - 6)
        if 0xDC00 <= second <= 0xDFFF:
            put[0] = put_utf8(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00), out)
            return 12
    put[0] = put_utf8(first, out)
    return 6


cdef bint decode(const uint8_t *text, size_t size, uint8_t *out, size_t capacity,
                 size_t *written) noexcept nogil:
    return replace_escapes(text, size, out, capacity, written, BACKSLASH, escape)


DECODER = make_decoder("json_strings", 20, marks.BACKSLASH, decode, 2)
