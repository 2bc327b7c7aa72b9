"""permessage-deflate of one direction (RFC 7692 section 7.2.2)."""

from libc.stdint cimport uint8_t, uint32_t

from sockwarden.parser.contexts cimport Context
from sockwarden.parser.events cimport Deflate
from sockwarden.parser.workspace cimport Workspace


# All zero but `parameters`: nothing was inflated yet, nothing is held.
cdef struct Inflater:
    Context *context    # NULL: none is needed yet
    Workspace *space    # where a message was inflated last
    Deflate parameters
    uint32_t made       # octets that the context does not have yet
    uint8_t active      # `space` holds the open message's inflater
    uint8_t final       # what was inflated last ends with a final block (BFINAL)
    uint8_t broken      # the context is not what the sender's is: nothing can be told any more


cdef enum InflateState:
    INFLATE_DONE  # all input is used
    INFLATE_MORE  # there may be more of it; call again
    INFLATE_BAD   # no deflate data; what was made is not to be used
    INFLATE_LOST  # the context had to make way, or there is no memory

# A message begins.  False: it cannot be inflated, the context was lost.
cdef bint inflater_begin(Inflater *self) noexcept nogil

# Inflates from *data, moves *data and *size behind what was used, and tells where the *made octets
# are; they stay there until the next call.
cdef InflateState inflater_step(Inflater *self, Workspace *space, const uint8_t **data,
                                size_t *size, const uint8_t **out, size_t *made) noexcept nogil

# The message goes on with a later call of the parser: other connections come between.
# False: it cannot, there is no room to keep it.
cdef bint inflater_rest(Inflater *self, Workspace *space) noexcept nogil

# The message is over.  `whole`: each of its octets was inflated.
cdef void inflater_end(Inflater *self, Workspace *space, bint whole) noexcept nogil

# The context was lost, nobody knows how.
cdef void inflater_lost(Inflater *self) noexcept nogil

# It was found again: this is the window.
cdef void inflater_found(Inflater *self, const uint8_t *window, size_t size) noexcept nogil

cdef size_t inflater_memory(const Inflater *self) noexcept nogil
cdef void inflater_free(Inflater *self) noexcept nogil
