# cython: language_level=3
"""Copies a text and replaces its escapes; see escapes.pxd.  What is no escape stays."""

from libc.stdint cimport uint8_t
from libc.string cimport memchr, memcpy

from sockwarden.agent.decode.decoder cimport UTF8_MAX_BYTES, hex_value


cdef int hex_number(const uint8_t *digits, int count) noexcept nogil:
    cdef int value = 0
    cdef int digit
    cdef int i
    for i in range(count):
        digit = hex_value(digits[i])
        if digit < 0:
            return -1
        value = value << 4 | digit
    return value


cdef bint replace_escapes(const uint8_t *text, size_t size, uint8_t *out, size_t capacity,
                          size_t *written, uint8_t first, escape_t escape) noexcept nogil:
    cdef size_t read = 0
    cdef size_t made = 0
    cdef size_t plain, taken, put
    cdef uint8_t character[UTF8_MAX_BYTES]
    cdef const uint8_t *next_one
    cdef bint decoded = False
    while read < size:
        next_one = <const uint8_t *> memchr(text + read, first, size - read)
        plain = next_one - (text + read) if next_one is not NULL else size - read
        if plain > capacity - made:
            plain = capacity - made
        memcpy(out + made, text + read, plain)
        made += plain
        read += plain
        if read >= size or made >= capacity:
            break
        put = 0
        taken = escape(text + read, size - read, character, &put)
        if taken:
            decoded = True
        else:
            character[0] = first
            put = taken = 1
        if put > capacity - made:
            break
        memcpy(out + made, character, put)
        made += put
        read += taken
    written[0] = made
    return decoded
