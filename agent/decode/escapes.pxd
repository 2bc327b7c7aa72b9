"""What all decoders of escapes do: copy the text, and put in what its escapes stand for."""

from libc.stdint cimport uint8_t

# Bytes of the escape at `text` (0: it is none); what it stands for, at most UTF8_MAX_BYTES, goes
# to `out`.  `left` is at least 1, and text[0] is the byte that escapes begin with.
ctypedef size_t (*escape_t)(const uint8_t *text, size_t left, uint8_t *out,
                            size_t *put) noexcept nogil

# Whether there was an escape.
cdef bint replace_escapes(const uint8_t *text, size_t size, uint8_t *out, size_t capacity,
                          size_t *written, uint8_t first, escape_t escape) noexcept nogil

# The number that `count` hexadecimal digits at `digits` say, or -1.
cdef int hex_number(const uint8_t *digits, int count) noexcept nogil
