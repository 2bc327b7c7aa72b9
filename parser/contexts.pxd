"""What compressed streams leave behind for their next message, of all connections, under one bound.

A context is a direction's window (RFC 7692 section 7.2.3.2): the last octets of its clear
payloads, as far as its sender may refer to them.  Where a message is open, it is also the inflater
that waits for the rest.

Memory is one budget of the process.  When it is used up, the longest silent make way: they are
lost and counted.  Their owner finds that at its next `context_take`.

A context is used by one thread at a time, as its connection is.  Another thread may take its memory
away, but only while nobody has taken the context: `context_take` and `context_give` are one
atomic operation each.  A lock is held only where contexts are made, freed or taken away.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from sockwarden.parser.workspace cimport inflate_state


cdef struct Context:
    Context *next           # in the ring of all; NULL: it was lost
    Context *before
    inflate_state *open     # of a message that is not finished
    uint8_t *window         # a ring of `room` octets
    uint32_t room
    uint32_t seen           # octets in it
    uint32_t at             # where its oldest one lies, once it is full
    uint32_t used           # atomic: when it was given back last
    uint8_t hold            # atomic: Hold


cdef enum Hold:
    CONTEXT_IDLE
    CONTEXT_TAKEN
    CONTEXT_LOST


cdef struct ContextUsage:
    uint64_t limit_bytes
    uint64_t held_bytes
    uint64_t evicted        # contexts that were lost since the start

# Idle and empty.  NULL: no memory.
cdef Context *context_new() noexcept nogil
cdef void context_free(Context *self) noexcept nogil

# Before anything below is called.  False: it was lost.
cdef bint context_take(Context *self) noexcept nogil
cdef void context_give(Context *self) noexcept nogil

# Appends to the window, of which `window` octets (a power of two) are of use.  False: no room.
cdef bint context_remember(Context *self, const uint8_t *data, size_t size,
                           size_t window) noexcept nogil

# Writes the window to `out`, oldest octet first; returns its size.
cdef size_t context_recall(const Context *self, uint8_t *out) noexcept nogil

# Keeps the inflater of an open message.  False: no room, and the inflater is still the caller's.
cdef bint context_park(Context *self, inflate_state *state) noexcept nogil
# Gives it back.
cdef inflate_state *context_resume(Context *self) noexcept nogil

cdef size_t context_memory(const Context *self) noexcept nogil

# Memory beside the contexts, of their budget, as far as it is free.  False: it is not.
cdef bint contexts_borrow(size_t size) noexcept nogil
cdef void contexts_repay(size_t size) noexcept nogil

# Of the process.  A lower limit takes effect as contexts grow.
cdef void contexts_limit(uint64_t limit_bytes) noexcept nogil
cdef ContextUsage contexts_usage() noexcept nogil
