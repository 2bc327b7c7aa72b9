"""What a decoder is to the engine."""

from libc.stdint cimport uint8_t

# Writes the decoded text, at most `capacity` bytes, and says whether anything was decoded.
# It never reads beyond `size`; where the text does not fit it stops and keeps what it has.
ctypedef bint (*decode_t)(const uint8_t *text, size_t size, uint8_t *out, size_t capacity,
                          size_t *written) noexcept nogil


cdef class Decoder:
    cdef readonly str name
    cdef readonly int order    # lower ones first; each works on what the one before made
    cdef readonly int depth    # how often it is applied to its own result
    cdef readonly int marker   # the byte without which there is nothing to decode
    cdef decode_t decode

cdef Decoder make_decoder(str name, int order, int depth, uint8_t marker, decode_t decode)

# What a hexadecimal digit stands for, or -1.
cdef int hex_value(uint8_t digit) noexcept nogil
