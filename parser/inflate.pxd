"""permessage-deflate of one direction (RFC 7692 section 7.2.2)."""

from libc.stdint cimport uint8_t

from sockwarden.parser.events cimport Deflate
from sockwarden.parser.workspace cimport Workspace, z_stream


# All zero but `parameters`: nothing was inflated yet, nothing is held.
cdef struct Inflater:
    z_stream *zlib
    Deflate parameters
    uint8_t final   # what was inflated last ends with a final block (BFINAL)
    uint8_t broken  # the context is not what the sender's is: nothing can be told any more


cdef enum InflateState:
    INFLATE_DONE  # all input is used
    INFLATE_FULL  # all room is used; call again
    INFLATE_BAD   # no deflate data

# A message begins.  False: it cannot be inflated, the context was lost or there is no memory.
cdef bint inflater_begin(Inflater *self, Workspace *space) noexcept nogil

# Inflates from *data, moves *data and *size behind what was used, and tells in *made what was
# written to `out`.
cdef InflateState inflater_step(Inflater *self, const uint8_t **data, size_t *size,
                                uint8_t *out, size_t room, size_t *made) noexcept nogil

# The message is over.  `whole`: each of its octets was inflated.
cdef void inflater_end(Inflater *self, Workspace *space, bint whole) noexcept nogil

cdef size_t inflater_memory(const Inflater *self) noexcept nogil
cdef void inflater_free(Inflater *self) noexcept nogil
