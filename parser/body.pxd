"""Bodies of HTTP messages that stand before the handshake: skipped (RFC 9112 section 6)."""

from libc.stdint cimport uint8_t, uint64_t

from sockwarden.parser.head cimport Text


cdef enum BodyState:
    BODY_LENGTH   # `left` octets
    BODY_SIZE     # the line with a chunk's size
    BODY_CHUNK    # `left` octets and a line end
    BODY_TRAILER  # lines, up to an empty one
    BODY_DONE


cdef struct Body:
    uint64_t left
    BodyState state
    bint line_empty  # of the trailer line so far

cdef void body_begin(Body *self, Text head) noexcept nogil

# How many octets belong to the body: all, or less at BODY_DONE.
cdef size_t body_skip(Body *self, const uint8_t *data, size_t size) noexcept nogil
