# distutils: libraries = isal
"""Inflates messages by ISA-L, with each direction's negotiated context (RFC 7692 section 7.2).

ISA-L's inflater takes 87 KB, so a thread has one and lends it.  What a connection keeps between
two messages is its window alone (contexts.pxd), none without context takeover.  It is brought up
to date after each message and copied into the inflater when that last served another stream.  The
inflater itself stays with a connection only while a message of it is open over several calls, or
where a message ended inside a deflate block, which common peers accept and go on from.

The inflater decodes behind the history in its own buffer and is never asked to copy from there
(avail_out is 0): the payload is taken where it lies.

How far back a message may refer: to the negotiated window as it was when the message began, and to
all of the message itself.  That is what zlib does when it inflates a message in one call, as
peers do; in smaller pieces it refuses some of that.  So no cut of the stream changes what is told.

Once octets of a context are bad or missing, later messages could come out wrong without any sign
of it: they are refused until the context is known again (doubt.pyx).
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memmove

from sockwarden.parser.contexts cimport (
    context_free, context_give, context_memory, context_new, context_park, context_recall,
    context_remember, context_resume, context_take)
from sockwarden.parser.workspace cimport (
    ISAL_BLOCK_FINISH, ISAL_BLOCK_INPUT_DONE, ISAL_BLOCK_NEW_HDR, ISAL_DECOMP_OK,
    ISAL_DEF_HIST_SIZE, Workspace, inflate_state, isal_inflate, isal_inflate_init,
    isal_inflate_reset)

cdef enum:
    INPUT_BYTES = 1 << 30                   # of one step, below ISA-L's 32 bits
    SMALLEST_WINDOW_BITS = 9                # zlib deflates with 9 where 8 was agreed on
    OUTPUT_BYTES = 2 * ISAL_DEF_HIST_SIZE   # of the inflater's buffer, history included
    CROWDED_BYTES = OUTPUT_BYTES - (16 << 10)


cdef inline size_t window_of(const Inflater *self) noexcept nogil:
    return <size_t>1 << max(self.parameters.window_bits, <uint8_t>SMALLEST_WINDOW_BITS)


# Keeps the last octets of the history.
cdef inline void trim(inflate_state *state, size_t history) noexcept nogil:
    memmove(state.output, state.output + state.output_size - history, history)
    state.output_size = <int>history


cdef inline bint between_blocks(const inflate_state *state) noexcept nogil:
    return (state.block_state == ISAL_BLOCK_NEW_HDR and not state.read_in_length
            and not state.tmp_in_size)


# --- the thread's inflater ---

cdef bint provide(Workspace *space) noexcept nogil:
    if space.inflater == NULL:
        space.inflater = space.idle_inflater
        space.idle_inflater = NULL
    if space.inflater == NULL:
        space.inflater = <inflate_state *>malloc(sizeof(inflate_state))
        if space.inflater == NULL:
            return False
        isal_inflate_init(space.inflater)
    return True


cdef void replace(Workspace *space, inflate_state *state) noexcept nogil:
    if space.idle_inflater == NULL:
        space.idle_inflater = space.inflater
    else:
        free(space.inflater)
    space.inflater = state


# Its history becomes the context's; nothing is to be done where it served this stream last.
cdef bint recall(Inflater *self, Workspace *space) noexcept nogil:
    cdef size_t window = window_of(self), history
    cdef inflate_state *state
    if not provide(space):
        return False
    state = space.inflater
    if (self.parameters.no_context_takeover or self.context == NULL
            or self.space != space or space.inflated != self):
        isal_inflate_reset(state)
        state.output_size = 0
        if self.context != NULL:
            state.output_size = <int>context_recall(self.context, state.output)
        return True
    history = <size_t>state.output_size
    # No distance is larger than the largest window: then there is no need to forget.
    if history > (window if window < ISAL_DEF_HIST_SIZE else <size_t>CROWDED_BYTES):
        trim(state, window)
    return True


cdef bint lose(Inflater *self) noexcept nogil:
    self.broken = not self.parameters.no_context_takeover
    inflater_free(self)
    return False


cdef bint enter(Inflater *self, Workspace *space) noexcept nogil:
    if self.context != NULL and not context_take(self.context):
        return lose(self)
    if self.context != NULL and self.context.open != NULL:
        replace(space, context_resume(self.context))
    elif recall(self, space):
        self.made = 0
    else:
        return lose(self)
    if self.context != NULL:
        context_give(self.context)
    self.active = True
    self.space = space
    space.inflated = self
    return True


# Takes the context to write to; makes it where there is none yet.
cdef bint take(Inflater *self) noexcept nogil:
    if self.context == NULL:
        self.context = context_new()
    return self.context != NULL and context_take(self.context)


# --- a message ---

cdef bint inflater_begin(Inflater *self) noexcept nogil:
    return not self.broken


# RFC 7692 7.2.3.4: a block with BFINAL set ends at the end of an octet; more blocks may follow, and
# the window goes on.  True: octets are left.
cdef inline bint behind_final_block(inflate_state *state) noexcept nogil:
    state.read_in >>= state.read_in_length % 8
    state.read_in_length -= state.read_in_length % 8
    state.block_state = ISAL_BLOCK_NEW_HDR
    return state.read_in_length or state.avail_in


cdef InflateState inflater_step(Inflater *self, Workspace *space, const uint8_t **data,
                                size_t *size, const uint8_t **out, size_t *made) noexcept nogil:
    cdef inflate_state *state
    cdef uint32_t given = <uint32_t>min(size[0], <size_t>INPUT_BYTES)
    cdef int before, result
    made[0] = 0
    if not self.active and not enter(self, space):
        return INFLATE_LOST
    state = space.inflater
    if state.output_size >= OUTPUT_BYTES:
        trim(state, ISAL_DEF_HIST_SIZE)
    before = state.output_size
    state.output_given = 0
    state.total_out = 0
    state.next_out = state.output
    state.avail_out = 0
    state.next_in = <uint8_t *>data[0]
    state.avail_in = given
    result = isal_inflate(state)
    given -= state.avail_in
    data[0] += given
    size[0] -= given
    out[0] = state.output + before
    made[0] = <size_t>(state.output_size - before)
    self.made = <uint32_t>min(self.made + made[0], <size_t>ISAL_DEF_HIST_SIZE)
    self.final = False
    if result != ISAL_DECOMP_OK:
        return INFLATE_BAD
    if state.block_state in (ISAL_BLOCK_INPUT_DONE, ISAL_BLOCK_FINISH):
        self.final = not behind_final_block(state)
        return INFLATE_DONE if self.final else INFLATE_MORE
    if state.output_size >= OUTPUT_BYTES:
        return INFLATE_MORE
    if not size[0]:
        return INFLATE_DONE
    return INFLATE_MORE if given or made[0] else INFLATE_BAD


cdef bint inflater_rest(Inflater *self, Workspace *space) noexcept nogil:
    if not self.active:
        return True
    self.active = False
    space.inflated = NULL
    if not take(self) or not context_park(self.context, space.inflater):
        return lose(self)
    space.inflater = NULL
    context_give(self.context)
    return True


# The context is brought up to date.
cdef void remember(Inflater *self, Workspace *space) noexcept nogil:
    cdef inflate_state *state = space.inflater
    cdef size_t made
    if not between_blocks(state):
        inflater_rest(self, space)
        return
    self.active = False
    made = min(<size_t>self.made, <size_t>state.output_size)
    self.made = 0
    if take(self) and context_remember(
            self.context, state.output + state.output_size - made, made, window_of(self)):
        context_give(self.context)
    else:
        lose(self)


cdef void inflater_end(Inflater *self, Workspace *space, bint whole) noexcept nogil:
    if not whole:
        self.active = False
        lose(self)
    elif self.parameters.no_context_takeover:
        self.active = False
        inflater_free(self)
    elif self.active or self.context != NULL and enter(self, space):
        remember(self, space)


cdef void inflater_lost(Inflater *self) noexcept nogil:
    if self.parameters.enabled:
        lose(self)


cdef void inflater_found(Inflater *self, const uint8_t *window, size_t size) noexcept nogil:
    self.made = 0
    self.final = self.active = self.broken = False
    if take(self) and context_remember(self.context, window, size, window_of(self)):
        context_give(self.context)
    else:
        lose(self)


cdef size_t inflater_memory(const Inflater *self) noexcept nogil:
    return context_memory(self.context)


cdef void inflater_free(Inflater *self) noexcept nogil:
    context_free(self.context)
    self.context = NULL
    self.space = NULL
