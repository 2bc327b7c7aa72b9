# cython: language_level=3
"""Escapes that scripts and shells know beside those of JSON: `\\xHH`, `\\u{H...}`, `\\NNN`.

ECMA-262 section 12.9.4; octal ones as C, Python and `$'...'` of shells have them, three digits
long, so that a Windows path such as C:\\1 is left alone.
"""

from libc.stdint cimport uint8_t

from sockwarden.agent.decode cimport marks
from sockwarden.agent.decode.decoder cimport hex_value, make_decoder, put_utf8
from sockwarden.agent.decode.escapes cimport hex_number, replace_escapes

cdef enum:
    BRACED_MAX_DIGITS = 8


cdef size_t braced(const uint8_t *text, size_t left, uint8_t *out, size_t *put) noexcept nogil:
    """`\\u{H...}`; `text` is at its backslash."""
    cdef int value = 0
    cdef size_t place = 3
    while place < left and place < 3 + BRACED_MAX_DIGITS and hex_value(text[place]) >= 0:
        value = (value << 4 | hex_value(text[place])) & 0xFFFFFFF
        place += 1
    if place == 3 or place >= left or text[place] != 125:
        return 0
    put[0] = put_utf8(value, out)
    return place + 1


cdef size_t escape(const uint8_t *text, size_t left, uint8_t *out, size_t *put) noexcept nogil:
    cdef int value = -1
    if left < 4:
        return 0
    if text[1] == 120:
        value = hex_number(text + 2, 2)
    elif text[1] == 117 and text[2] == 123:
        return braced(text, left, out, put)
    elif 48 <= text[1] <= 49 and 48 <= text[2] <= 55 and 48 <= text[3] <= 55:
        value = (text[1] - 48) << 6 | (text[2] - 48) << 3 | (text[3] - 48)
    if value < 0:
        return 0
    out[0] = <uint8_t> value
    put[0] = 1
    return 4


cdef bint decode(const uint8_t *text, size_t size, uint8_t *out, size_t capacity,
                 size_t *written) noexcept nogil:
    return replace_escapes(text, size, out, capacity, written, 92, escape)


DECODER = make_decoder("script_escapes", 30, marks.BACKSLASH, decode)
