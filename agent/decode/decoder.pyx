# cython: language_level=3
"""What a decoder is: a name, the marks that it needs, and a function that needs no GIL.

A decoder only adds a view.  What it cannot decode it leaves as it stands, or it decodes
nothing.
"""

from libc.stdint cimport uint8_t, uint32_t

from sockwarden.agent.decode.marks cimport text_marks


cdef int hex_value(uint8_t digit) noexcept nogil:
    if 48 <= digit <= 57:
        return digit - 48
    digit |= 0x20
    if 97 <= digit <= 102:
        return digit - 87
    return -1


cdef size_t put_utf8(uint32_t point, uint8_t *out) noexcept nogil:
    if point < 0x80:
        out[0] = <uint8_t> point
        return 1
    if point < 0x800:
        out[0] = <uint8_t> (0xC0 | point >> 6)
        out[1] = <uint8_t> (0x80 | (point & 0x3F))
        return 2
    if point > 0x10FFFF or 0xD800 <= point <= 0xDFFF:
        point = REPLACEMENT
    if point < 0x10000:
        out[0] = <uint8_t> (0xE0 | point >> 12)
        out[1] = <uint8_t> (0x80 | (point >> 6 & 0x3F))
        out[2] = <uint8_t> (0x80 | (point & 0x3F))
        return 3
    out[0] = <uint8_t> (0xF0 | point >> 18)
    out[1] = <uint8_t> (0x80 | (point >> 12 & 0x3F))
    out[2] = <uint8_t> (0x80 | (point >> 6 & 0x3F))
    out[3] = <uint8_t> (0x80 | (point & 0x3F))
    return 4


cdef size_t text_character(const uint8_t *text, size_t left) noexcept nogil:
    cdef uint8_t first = text[0]
    cdef size_t size = 0
    cdef size_t i
    if first < 0x80:
        return (32 <= first < 127) or 9 <= first <= 13
    if 0xC2 <= first < 0xE0:
        size = 2
    elif 0xE0 <= first < 0xF0:
        size = 3
    elif 0xF0 <= first < 0xF5:
        size = 4
    if size > left:
        return 0
    for i in range(1, size):
        if text[i] & 0xC0 != 0x80:
            return 0
    return size


cdef bint is_text(const uint8_t *text, size_t size) noexcept nogil:
    cdef size_t place = 0
    cdef size_t taken
    while place < size:
        taken = text_character(text + place, size - place)
        if not taken:
            return False
        place += taken
    return True


cdef class Decoder:
    def __init__(self):
        raise TypeError("decoders are made by their modules, not from Python")

    def __call__(self, bytes text):
        """The decoded text after one application, or None where nothing was decoded."""
        cdef size_t written = 0
        cdef bytearray out
        if not text_marks(text, len(text)) & self.marks:
            return None
        out = bytearray(room(len(text)))
        if self.decode(text, len(text), out, len(out), &written):
            return bytes(out[:written])
        return None


cdef Decoder make_decoder(str name, int order, uint32_t marks, decode_t decode,
                          int depth=1, bint opens=False):
    cdef Decoder decoder = Decoder.__new__(Decoder)
    decoder.name = name
    decoder.order = order
    decoder.depth = depth
    decoder.opens = opens
    decoder.marks = marks
    decoder.decode = decode
    return decoder
