# cython: language_level=3
"""What a decoder is: a name, a cheap marker, and a function that needs no GIL.

A decoder only adds a view; what it cannot decode it leaves as it stands, so its result holds
at least what a reader of the raw text could see of the rest.
"""

from libc.stdint cimport uint8_t


cdef int hex_value(uint8_t digit) noexcept nogil:
    if 48 <= digit <= 57:
        return digit - 48
    digit |= 0x20
    if 97 <= digit <= 102:
        return digit - 87
    return -1


cdef class Decoder:
    def __init__(self):
        raise TypeError("decoders are made by their modules, not from Python")

    def __call__(self, bytes text):
        """The decoded text after one application, or None where nothing was decoded."""
        cdef size_t written = 0
        cdef bytearray out = bytearray(len(text))
        if self.decode(text, len(text), out, len(text), &written):
            return bytes(out[:written])
        return None


cdef Decoder make_decoder(str name, int order, int depth, uint8_t marker, decode_t decode):
    cdef Decoder decoder = Decoder.__new__(Decoder)
    decoder.name = name
    decoder.order = order
    decoder.depth = depth
    decoder.marker = marker
    decoder.decode = decode
    return decoder
