"""A compressed direction whose context was lost: which of its messages are right all the same."""

from libc.stdint cimport uint8_t, uint32_t

from sockwarden.parser.workspace cimport Workspace
from sockwarden.parser.zlib cimport z_stream


cdef struct Doubt:
    z_stream one      # what is not known of its window was taken for 0x00,
    z_stream other    # and here for 0xFF
    uint32_t window   # octets that the sender may refer to
    uint32_t agreed   # octets that came since the last on which they differ, up to `window`
    uint8_t stale     # more was lost
    uint8_t final     # what was inflated last ends with a final block (BFINAL)

# Nothing is known of what was sent before.  NULL: no memory, or the budget of contexts is used up.
cdef Doubt *doubt_new(uint8_t window_bits) noexcept nogil

# More was lost, and a message begins.  False: it cannot be inflated.
cdef bint doubt_begin(Doubt *self) noexcept nogil

# Inflates some of *data, moves *data and *size behind what was used, and tells where the *made
# octets are, of which the first *sure depend on nothing unknown.  False: what follows is no
# deflate data.
# To be called until *size is 0 and nothing was made.
cdef bint doubt_step(Doubt *self, Workspace *space, const uint8_t **data, size_t *size,
                     const uint8_t **out, size_t *made, size_t *sure) noexcept nogil

# Copies the window, if all of it is known.  Its size; 0: it is not.
cdef size_t doubt_window(Doubt *self, uint8_t *out) noexcept nogil

cdef size_t doubt_memory(const Doubt *self) noexcept nogil
cdef void doubt_free(Doubt *self) noexcept nogil
