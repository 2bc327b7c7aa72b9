# cython: language_level=3
"""Hexadecimal digits (RFC 4648 section 8) that hold text, as 0x41 in SQL or alone.

Hashes and identifiers are no text: their first bytes tell.
"""

from libc.stdint cimport uint8_t

from sockwarden.agent.decode cimport marks
from sockwarden.agent.decode.decoder cimport hex_value, make_decoder
from sockwarden.agent.decode.runs cimport looks_like_text, replace_runs

cdef enum:
    LEAST_BYTES = 6
    SAMPLE_BYTES = 12


cdef size_t decode_digits(const uint8_t *text, size_t size, uint8_t *out,
                          size_t capacity) noexcept nogil:
    """Bytes that the pairs of digits stand for, up to what is none."""
    cdef size_t made = 0
    cdef int high, low
    while 2 * made + 2 <= size and made < capacity:
        high = hex_value(text[2 * made])
        low = hex_value(text[2 * made + 1]) if high >= 0 else -1
        if low < 0:
            break
        out[made] = <uint8_t> (high << 4 | low)
        made += 1
    return made


cdef size_t decode_run(const uint8_t *text, size_t size, size_t place, uint8_t *out,
                       size_t capacity, size_t *end) noexcept nogil:
    cdef uint8_t sample[SAMPLE_BYTES]
    cdef size_t length
    if place + 2 < size and text[place] == 48 and text[place + 1] | 0x20 == 120:
        place += 2
    length = decode_digits(text + place, size - place, sample, SAMPLE_BYTES)
    if length < LEAST_BYTES or not looks_like_text(sample, length, True):
        return 0
    length = decode_digits(text + place, size - place, out, capacity)
    end[0] = place + 2 * length
    return length


cdef bint decode(const uint8_t *text, size_t size, uint8_t *out, size_t capacity,
                 size_t *written) noexcept nogil:
    return replace_runs(text, size, out, capacity, written, decode_run)


DECODER = make_decoder("hexadecimal", 70, marks.RUN, decode, 1, True)
