# cython: language_level=3
"""Character references of HTML: numbers, and the names of ASCII characters.

HTML Living Standard sections 13.2.5.72 and 13.5.  A number need not end in `;`, a name must:
`&lt=5` stands in addresses too.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp, strlen

from sockwarden.agent.decode cimport marks
from sockwarden.agent.decode.decoder cimport hex_value, make_decoder, put_utf8
from sockwarden.agent.decode.escapes cimport replace_escapes

cdef enum:
    NAME_MAX_BYTES = 12
    POINT_LIMIT = 0x110000


cdef struct Name:
    const char *name
    uint8_t character

cdef Name *NAMES = [
    ["lt", 60], ["gt", 62], ["amp", 38], ["quot", 34], ["apos", 39], ["LT", 60], ["GT", 62],
    ["AMP", 38], ["QUOT", 34], ["nbsp", 32], ["Tab", 9], ["NewLine", 10], ["colon", 58],
    ["semi", 59], ["lpar", 40], ["rpar", 41], ["sol", 47], ["bsol", 92], ["equals", 61],
    ["comma", 44], ["period", 46], ["num", 35], ["excl", 33], ["dollar", 36], ["percnt", 37],
    ["ast", 42], ["plus", 43], ["quest", 63], ["commat", 64], ["lsqb", 91], ["lbrack", 91],
    ["rsqb", 93], ["rbrack", 93], ["Hat", 94], ["lowbar", 95], ["grave", 96], ["lcub", 123],
    ["lbrace", 123], ["rcub", 125], ["rbrace", 125], ["vert", 124], ["verbar", 124],
]
cdef enum:
    NAME_COUNT = 42


cdef size_t numbered(const uint8_t *text, size_t left, uint8_t *out, size_t *put) noexcept nogil:
    cdef bint hexadecimal = left > 2 and text[2] | 0x20 == 120
    cdef size_t first = 3 if hexadecimal else 2
    cdef size_t place = first
    cdef uint32_t value = 0
    cdef int digit
    while place < left:
        digit = hex_value(text[place])
        if digit < 0 or (digit > 9 and not hexadecimal):
            break
        # Leading zeros are as many as one likes.
        if value < POINT_LIMIT:
            value = value * (16 if hexadecimal else 10) + digit
        place += 1
    if place == first:
        return 0
    put[0] = put_utf8(value, out)
    if place < left and text[place] == 59:
        place += 1
    return place


cdef size_t escape(const uint8_t *text, size_t left, uint8_t *out, size_t *put) noexcept nogil:
    cdef size_t place = 1
    cdef int i
    if left < 3:
        return 0
    if text[1] == 35:
        return numbered(text, left, out, put)
    while place < left and place <= NAME_MAX_BYTES and text[place] != 59:
        place += 1
    if place >= left or text[place] != 59:
        return 0
    for i in range(NAME_COUNT):
        if (strlen(NAMES[i].name) == place - 1
                and memcmp(NAMES[i].name, text + 1, place - 1) == 0):
            out[0] = NAMES[i].character
            put[0] = 1
            return place + 1
    return 0


cdef bint decode(const uint8_t *text, size_t size, uint8_t *out, size_t capacity,
                 size_t *written) noexcept nogil:
    return replace_escapes(text, size, out, capacity, written, 38, escape)


DECODER = make_decoder("html_entities", 50, marks.AMPERSAND, decode, 2, True)
