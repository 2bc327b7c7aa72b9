"""What a decoder is to the engine, and what decoders share."""

from libc.stdint cimport uint8_t, uint32_t

# Writes the decoded text, at most `capacity` bytes, and says whether anything was decoded.
# It never reads beyond `size`; where the text does not fit it stops and keeps what it has.
ctypedef bint (*decode_t)(const uint8_t *text, size_t size, uint8_t *out, size_t capacity,
                          size_t *written) noexcept nogil

cdef enum:
    UTF8_MAX_BYTES = 4
    REPLACEMENT = 0xFFFD


cdef class Decoder:
    cdef readonly str name
    cdef readonly int order      # lower ones first; each works on what the one before made
    cdef readonly int depth      # how often it is applied to its own result
    cdef readonly bint opens     # what it makes may again hold what any decoder is for
    cdef readonly uint32_t marks  # without any of them (marks.pxd) there is nothing to decode
    cdef decode_t decode

cdef Decoder make_decoder(str name, int order, uint32_t marks, decode_t decode,
                          int depth=*, bint opens=*)

# Room for what a decoder makes of a text of that size: UTF-8 of UTF-16 is longer.
cdef inline size_t room(size_t size) noexcept nogil:
    return size + size // 2 + 64

# What a hexadecimal digit stands for, or -1.
cdef int hex_value(uint8_t digit) noexcept nogil

# Bytes of the character's UTF-8 at `out`, which has room for UTF8_MAX_BYTES.
cdef size_t put_utf8(uint32_t point, uint8_t *out) noexcept nogil

# Bytes of the character of text at `text`, or 0: printable ASCII, white space, well-formed UTF-8.
cdef size_t text_character(const uint8_t *text, size_t left) noexcept nogil

# Whether all of it is text.
cdef bint is_text(const uint8_t *text, size_t size) noexcept nogil
