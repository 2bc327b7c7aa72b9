# cython: language_level=3
"""Header escapes of STOMP 1.2 ("Value Encoding"): `\\c` is a colon; the others are JSON's.

Taken for STOMP is a text that begins with a command in capitals on a line of its own.
"""

from libc.stdint cimport uint8_t

from sockwarden.agent.decode cimport marks
from sockwarden.agent.decode.decoder cimport make_decoder
from sockwarden.agent.decode.escapes cimport replace_escapes

cdef enum:
    COMMAND_MAX_BYTES = 12


cdef size_t escape(const uint8_t *text, size_t left, uint8_t *out, size_t *put) noexcept nogil:
    if left < 2:
        return 0
    if text[1] == 92:  # stays, so that the backslash is not taken for the next one's
        out[0] = out[1] = 92
        put[0] = 2
        return 2
    if text[1] != 99:
        return 0
    out[0] = 58
    put[0] = 1
    return 2


cdef bint decode(const uint8_t *text, size_t size, uint8_t *out, size_t capacity,
                 size_t *written) noexcept nogil:
    cdef size_t place = 0
    while place < size and place < COMMAND_MAX_BYTES and 65 <= text[place] <= 90:
        place += 1
    if place < 3 or place >= size or (text[place] != 10 and text[place] != 13):
        return False
    return replace_escapes(text, size, out, capacity, written, 92, escape)


DECODER = make_decoder("stomp", 19, marks.BACKSLASH, decode)
