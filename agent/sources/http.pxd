"""One direction of an HTTP/1.1 connection, as far as finding its heads needs it."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef enum:
    HEAD_BYTES = 16 * 1024  # of a head kept; a longer one is LONG


cdef enum Phase:
    HEAD         # reading a head, or between two messages
    LONG         # in a head of which no more is kept: looking for its end
    BODY         # of known length
    CHUNK_SIZE
    CHUNK_DATA
    CHUNK_END
    TRAILER
    UNTIL_CLOSE  # a response without a length
    LOST         # looking for a chunk of data that begins like a head
    ALIEN        # not HTTP/1


# What one call of `framer_feed` found at the end of what it consumed.
cdef enum Found:
    NOTHING
    WHOLE_HEAD   # framer.head, framer.size: the caller says what follows by framer_body
    LONG_HEAD    # the same, its first HEAD_BYTES; its rest is skipped
    NOT_HTTP


cdef struct Framer:
    Phase phase
    bint response
    uint8_t *head
    uint32_t size
    uint32_t capacity
    uint32_t line         # octets of the current line, CR and LF aside
    bint has_first_line   # the head's first line is whole
    uint32_t digits       # of a chunk size
    uint64_t remaining    # octets of BODY or CHUNK_DATA


cdef struct Head:
    bint upgrade          # asks for, or agrees to, a WebSocket
    bint connect          # request: method CONNECT
    bint head             # request: method HEAD
    uint16_t status       # response
    bint chunked
    bint has_length
    uint64_t length


# Whether the octets begin like a request, a response.  True also where they are too few to say.
cdef bint like_request(const uint8_t *data, size_t size) noexcept nogil
cdef bint like_response(const uint8_t *data, size_t size) noexcept nogil

# Consumes up to the end of a head or of a body, or everything; never nothing, unless it found
# something.  `begins`: `data` is the start of a segment.
cdef size_t framer_feed(Framer *self, const uint8_t *data, size_t size, bint begins,
                        Found *found) except? 0
cdef void framer_hole(Framer *self, uint64_t size) noexcept nogil
cdef void framer_restart(Framer *self, Phase phase) noexcept nogil
cdef void framer_free(Framer *self) noexcept nogil

cdef Head read_head(const Framer *self) noexcept nogil
# What follows the head that was found.
cdef void framer_body(Framer *self, const Head *head, bint none) noexcept nogil
