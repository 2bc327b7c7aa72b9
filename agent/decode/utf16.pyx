# cython: language_level=3
"""UTF-16 (RFC 2781) that is Latin text for the most part, with or without a byte order mark.

What Windows writes, and what `powershell -EncodedCommand` takes.  A message is taken for UTF-16
if of its first characters three quarters have a zero for their upper half and none for their
lower one.
"""

from libc.stdint cimport uint8_t, uint32_t

from sockwarden.agent.decode cimport marks
from sockwarden.agent.decode.decoder cimport UTF8_MAX_BYTES, make_decoder, put_utf8

cdef enum:
    SAMPLE_BYTES = 64
    LEAST_BYTES = 6


cdef inline uint32_t unit(const uint8_t *text, int upper) noexcept nogil:
    return <uint32_t> text[upper] << 8 | text[1 - upper]


cdef int upper_half(const uint8_t *text, size_t size) noexcept nogil:
    """Which byte of a pair is the upper one, or -1: it is no such text."""
    cdef size_t sample = min(size, <size_t> SAMPLE_BYTES) // 2 * 2
    cdef size_t zeros[2]
    cdef size_t i
    zeros[0] = zeros[1] = 0
    for i in range(sample):
        zeros[i & 1] += text[i] == 0
    for i in range(2):
        if zeros[i] * 8 >= sample * 3 and not zeros[1 - i]:
            return <int> i
    return -1


cdef bint decode(const uint8_t *text, size_t size, uint8_t *out, size_t capacity,
                 size_t *written) noexcept nogil:
    cdef size_t place = 0
    cdef size_t made = 0
    cdef int upper
    cdef uint32_t point, second
    if size < LEAST_BYTES:
        return False
    upper = upper_half(text, size)
    if upper < 0:
        return False
    while place + 2 <= size and made + UTF8_MAX_BYTES <= capacity:
        point = unit(text + place, upper)
        place += 2
        if 0xD800 <= point <= 0xDBFF and place + 2 <= size:
            second = unit(text + place, upper)
            if 0xDC00 <= second <= 0xDFFF:
                point = 0x10000 + ((point - 0xD800) << 10) + (second - 0xDC00)
                place += 2
        if point != 0xFEFF:
            made += put_utf8(point, out + made)
    written[0] = made
    return True


DECODER = make_decoder("utf16", 10, marks.BINARY, decode)
