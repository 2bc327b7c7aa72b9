# cython: language_level=3
"""Comments of SQL, `/* */`, as the space that a database reads; the code in MySQL's `/*! */` stays.

MySQL runs what stands in `/*!50000 ... */`, so there only the marks become spaces.
"""

from libc.stdint cimport uint8_t
from libc.string cimport memchr, memcpy

from sockwarden.agent.decode cimport marks
from sockwarden.agent.decode.decoder cimport make_decoder

cdef enum:
    STAR = 42
    SLASH = 47
    SPACE = 32


cdef size_t comment_end(const uint8_t *text, size_t size, size_t place) noexcept nogil:
    """Behind the `*/` that comes next, or 0."""
    cdef const uint8_t *star
    while place < size:
        star = <const uint8_t *> memchr(text + place, STAR, size - place)
        if star is NULL:
            break
        place = star - text + 1
        if place < size and text[place] == SLASH:
            return place + 1
    return 0


cdef size_t code_start(const uint8_t *text, size_t size, size_t place) noexcept nogil:
    """Behind the `!` at `place` and the version that follows it."""
    place += 1
    while place < size and 48 <= text[place] <= 57:
        place += 1
    return place


cdef bint decode(const uint8_t *text, size_t size, uint8_t *out, size_t capacity,
                 size_t *written) noexcept nogil:
    cdef size_t read = 0    # up to here it is in `out`
    cdef size_t place = 0   # up to here it was looked at
    cdef size_t made = 0
    cdef size_t mark, behind
    cdef bint in_code = False
    cdef bint closed = True  # another `*/` may follow
    cdef const uint8_t *star
    while place < size:
        star = <const uint8_t *> memchr(text + place, STAR, size - place)
        if star is NULL:
            break
        place = star - text + 1
        mark = behind = 0
        if place - 1 > read and text[place - 2] == SLASH:
            mark = place - 2
            if place < size and text[place] == 33:
                behind = code_start(text, size, place)
                in_code = True
            elif closed:
                behind = comment_end(text, size, place)
                closed = behind != 0
        elif in_code and place < size and text[place] == SLASH:
            mark = place - 1
            behind = place + 1
            in_code = False
        if not behind:
            continue
        if made + (mark - read) >= capacity:
            break
        memcpy(out + made, text + read, mark - read)
        made += mark - read
        out[made] = SPACE
        made += 1
        read = place = behind
    if not read:
        return False
    mark = min(size - read, capacity - made)
    memcpy(out + made, text + read, mark)
    written[0] = made + mark
    return True


DECODER = make_decoder("sql_comments", 90, marks.STAR, decode)
