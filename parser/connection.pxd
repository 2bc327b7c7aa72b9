"""One WebSocket connection, both directions, from the request line to the last frame.

Sans-I/O and without Python objects.  Bytes come with their position; what is
missing is a gap.  All functions may be called without the GIL; one connection
must be used by one thread at a time.
"""

from libc.stdint cimport uint8_t, uint64_t

from sockwarden.parser.events cimport Direction, Handler, Limits

cdef struct Connection:
    pass  # laid out in connection.pyx

# NULL: no memory.  `handler` is copied.
cdef Connection *connection_new(const Limits *limits, const Handler *handler) noexcept nogil

# Bytes at `position` of `direction`'s stream.  Earlier bytes than expected are
# ignored (seen already), later ones make a gap.  The first call of a direction
# fixes where its stream begins.
cdef void connection_feed(Connection *self, Direction direction, uint64_t position,
                          const uint8_t *data, size_t size) noexcept nogil

# No more bytes come.  `end` is the stream's length in the positions of feed, or 0: not known.
cdef void connection_end(Connection *self, Direction direction, uint64_t end) noexcept nogil

# Bytes of memory held for this connection.
cdef size_t connection_memory(const Connection *self) noexcept nogil

cdef void connection_free(Connection *self) noexcept nogil
