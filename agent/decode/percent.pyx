# cython: language_level=3
"""Percent-encoding (RFC 3986 section 2.1), repeated: attackers encode twice.

`+` stays: it means a space in form bodies only.  What is no escape stays.
"""

from libc.stdint cimport uint8_t
from libc.string cimport memchr, memcpy

from sockwarden.agent.decode.decoder cimport hex_value, make_decoder

cdef enum:
    PERCENT = 37


cdef bint decode(const uint8_t *text, size_t size, uint8_t *out, size_t capacity,
                 size_t *written) noexcept nogil:
    cdef size_t read = 0
    cdef size_t made = 0
    cdef size_t plain
    cdef int high, low
    cdef const uint8_t *escape
    cdef bint decoded = False
    while read < size and made < capacity:
        escape = <const uint8_t *> memchr(text + read, PERCENT, size - read)
        plain = escape - (text + read) if escape is not NULL else size - read
        if plain > capacity - made:
            plain = capacity - made
        memcpy(out + made, text + read, plain)
        made += plain
        read += plain
        if read >= size or made >= capacity:
            break
        high = hex_value(text[read + 1]) if size - read > 2 else -1
        low = hex_value(text[read + 2]) if high >= 0 else -1
        if low >= 0:
            out[made] = <uint8_t> (high << 4 | low)
            read += 3
            decoded = True
        else:
            out[made] = PERCENT
            read += 1
        made += 1
    written[0] = made
    return decoded


DECODER = make_decoder("percent", 20, 3, PERCENT, decode)
