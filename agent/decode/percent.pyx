# cython: language_level=3
"""Percent-encoding (RFC 3986 section 2.1), repeated, and the `%uXXXX` of old scripts and servers.

`+` stays: it means a space in form bodies only.
"""

from libc.stdint cimport uint8_t

from sockwarden.agent.decode cimport marks
from sockwarden.agent.decode.decoder cimport make_decoder, put_utf8
from sockwarden.agent.decode.escapes cimport hex_number, replace_escapes


cdef size_t escape(const uint8_t *text, size_t left, uint8_t *out, size_t *put) noexcept nogil:
    cdef int value = hex_number(text + 1, 2) if left >= 3 else -1
    if value >= 0:
        out[0] = <uint8_t> value
        put[0] = 1
        return 3
    if left < 6 or text[1] | 0x20 != 117:  # u, U
        return 0
    value = hex_number(text + 2, 4)
    if value < 0:
        return 0
    put[0] = put_utf8(value, out)
    return 6


cdef bint decode(const uint8_t *text, size_t size, uint8_t *out, size_t capacity,
                 size_t *written) noexcept nogil:
    return replace_escapes(text, size, out, capacity, written, 37, escape)


DECODER = make_decoder("percent", 40, marks.PERCENT, decode, 2, True)
