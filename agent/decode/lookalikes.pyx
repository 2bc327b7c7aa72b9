# cython: language_level=3
"""Characters that servers take for ASCII: full-width forms, look-alikes, overlong UTF-8.

Full-width forms (U+FF01 to U+FF5E) and what Unicode's compatibility mapping or a database's best
fit makes of a quote, a bracket or a slash.  Overlong forms (RFC 3629 section 3 forbids them) stand
for what a careless decoder reads: C0 AE is a full stop.
"""

from libc.stdint cimport uint8_t, uint32_t

from sockwarden.agent.decode cimport marks
from sockwarden.agent.decode.decoder cimport make_decoder


cdef inline bint trails(const uint8_t *text, size_t left, size_t count) noexcept nogil:
    cdef size_t i
    if left <= count:
        return False
    for i in range(1, count + 1):
        if text[i] & 0xC0 != 0x80:
            return False
    return True


cdef int look_alike(uint32_t point) noexcept nogil:
    """The ASCII character that a point below U+10000 is taken for, or -1."""
    if 0xFF01 <= point <= 0xFF5E:
        return <int> point - 0xFEE0
    if point == 0x02B9 or point == 0x02BC or point == 0x2018 or point == 0x2019 or point == 0x2032:
        return 39
    if point == 0x02BA or point == 0x201C or point == 0x201D or point == 0x2033:
        return 34
    if point == 0xFE64 or point == 0x2039 or point == 0x3008:
        return 60
    if point == 0xFE65 or point == 0x203A or point == 0x3009:
        return 62
    if point == 0x2044 or point == 0x2215:
        return 47
    if point == 0x2216 or point == 0xFE68:
        return 92
    if point == 0x2024:
        return 46
    return -1


cdef int replacement(const uint8_t *text, size_t left, size_t *taken) noexcept nogil:
    """The ASCII character that `text` begins with in another form, or -1."""
    cdef uint8_t first = text[0]
    cdef int value = -1
    if first < 0xE0 and trails(text, left, 1):
        taken[0] = 2
        value = (first & 0x1F) << 6 | (text[1] & 0x3F)
        if value >= 0x80:
            value = look_alike(value)
    elif 0xE0 <= first < 0xF0 and trails(text, left, 2):
        taken[0] = 3
        value = (first & 0x0F) << 12 | (text[1] & 0x3F) << 6 | (text[2] & 0x3F)
        if value >= 0x80:
            value = look_alike(value)
    elif first == 0xF0 and trails(text, left, 3):
        taken[0] = 4
        value = (text[1] & 0x3F) << 12 | (text[2] & 0x3F) << 6 | (text[3] & 0x3F)
        if value >= 0x80:
            value = -1
    return value


cdef bint decode(const uint8_t *text, size_t size, uint8_t *out, size_t capacity,
                 size_t *written) noexcept nogil:
    cdef size_t place = 0
    cdef size_t made = 0
    cdef size_t taken
    cdef int found
    cdef bint decoded = False
    while place < size and made < capacity:
        if text[place] >= 0xC0:
            found = replacement(text + place, size - place, &taken)
            if found >= 0:
                out[made] = <uint8_t> found
                made += 1
                place += taken
                decoded = True
                continue
        out[made] = text[place]
        made += 1
        place += 1
    written[0] = made
    return decoded


DECODER = make_decoder("lookalikes", 60, marks.HIGH, decode)
