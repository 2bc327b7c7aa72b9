"""Joins data frames to messages; see messages.pxd.

Bounds: of a message at most Limits.message_bytes are kept, in a buffer that grows
with what really came (a declared length reserves nothing).  What is beyond goes
through the thread's scratch: unmasked, inflated, validated, hashed, dropped.  So
neither a long message nor a compressed bomb costs more memory, the inflater's
window stays right, and the length that is reported is the true one.

What a bomb costs in time is bounded by Limits.inflated_bytes: there it is told as a message
with octets missing, and no more of it is inflated.  With context takeover that loses the
context.

Missing octets of an uncompressed message are kept as 0, so that all others stand in
their place; its text is not validated behind them.  Missing octets of a compressed
one withhold it: nothing can be told behind them.
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy, memset

from sockwarden.parser.buffer cimport buffer_memory, buffer_release
from sockwarden.parser.digest cimport (
    SHA256_BYTES, Digest, digest_finish, digest_free, digest_start, digest_update)
from sockwarden.parser.doubt cimport (
    doubt_begin, doubt_free, doubt_memory, doubt_new, doubt_step, doubt_window)
from sockwarden.parser.events cimport (
    DIGEST_ALL, DIGEST_CUT, INFLATE_ERROR, INVALID_UTF8, TEXT, TRUNCATED,
    Anomaly, Direction, MessageEvent)
from sockwarden.parser.header cimport OPCODE, Header
from sockwarden.parser.inflate cimport (
    INFLATE_BAD, INFLATE_DONE, INFLATE_LOST, InflateState, inflater_begin, inflater_end,
    inflater_found, inflater_free, inflater_lost, inflater_memory, inflater_rest, inflater_step)
from sockwarden.parser.masking cimport non_ascii, rotate, unmask
from sockwarden.parser.utf8 cimport Utf8, utf8_feed
from sockwarden.parser.workspace cimport (
    SW_SCRATCH_BYTES, Workspace, workspace_grow, workspace_return)

# RFC 7692 section 7.2.2: what the sender took off the end of each message
cdef const uint8_t *TAIL = [0x00, 0x00, 0xFF, 0xFF]


cdef inline void tell(const Messages *self, Anomaly kind, uint64_t offset) noexcept nogil:
    self.handler.anomaly(self.handler.user, <Direction>self.direction, kind, offset)


# The context was lost: the message may be right without it.
cdef bint begin_doubtful(Messages *self) noexcept nogil:
    if self.doubt == NULL:
        self.doubt = doubt_new(self.inflater.parameters.window_bits)
    return self.doubt != NULL and doubt_begin(self.doubt)


# The context is known again.
cdef void end_doubt(Messages *self, Workspace *space) noexcept nogil:
    cdef size_t size = doubt_window(self.doubt, space.scratch)
    if size:
        doubt_free(self.doubt)
        self.doubt = NULL
        inflater_found(&self.inflater, space.scratch, size)


cdef void messages_open(Messages *self, Workspace *space, const Header *header,
                        bint compressed) noexcept nogil:
    cdef uint8_t opcode = header.first & OPCODE
    self.open = True
    self.opcode = opcode
    self.compressed = compressed
    self.offset = header.offset
    self.length = self.wire_length = self.fragments = 0
    self.withheld = self.unsure = self.capped = self.cut = self.missing = self.hashing = False
    self.valid_utf8 = True
    memset(&self.utf8, 0, sizeof(Utf8))
    if self.limits.digest == DIGEST_ALL:
        self.hashing = digest_start(&self.digest)
    if compressed:
        self.withheld = not inflater_begin(&self.inflater) and not begin_doubtful(self)


# Where the next octets of the clear payload go, and how many at most.
cdef uint8_t *place(Messages *self, Workspace *space, size_t *size) noexcept nogil:
    cdef uint64_t left = self.limits.message_bytes - self.kept.size
    if not self.cut:
        if left:
            size[0] = <size_t>min(left, <uint64_t>min(size[0], <size_t>SW_SCRATCH_BYTES))
            if (self.kept.size + size[0] <= self.kept.room
                    or workspace_grow(space, &self.kept, self.kept.size + size[0], 0)):
                return self.kept.data + self.kept.size
        self.cut = True
        if self.limits.digest == DIGEST_CUT and not self.missing:
            self.hashing = digest_start(&self.digest)
            if self.hashing and self.kept.size:
                digest_update(self.digest, self.kept.data, self.kept.size)
    size[0] = min(size[0], <size_t>SW_SCRATCH_BYTES)
    return space.scratch


# `size` octets of clear payload lie where `place` said.
cdef void took(Messages *self, const uint8_t *data, size_t size) noexcept nogil:
    self.length += size
    if not self.cut:
        self.kept.size += size
    if self.hashing:
        digest_update(self.digest, data, size)


cdef void take_clear(Messages *self, Workspace *space, const uint8_t *data, size_t size,
                     uint64_t offset) noexcept nogil:
    cdef size_t some
    cdef uint8_t *out
    while size:
        some = size
        out = place(self, space, &some)
        messages_unmask(self, out, data, some, offset)
        took(self, out, some)
        data += some
        offset += some
        size -= some


# The open message is not inflated to its end.
cdef void lose_context(Messages *self, Workspace *space) noexcept nogil:
    if self.doubt != NULL:
        self.doubt.stale = True
    else:
        inflater_end(&self.inflater, space, False)


cdef void inflate_error(Messages *self, Workspace *space) noexcept nogil:
    self.withheld = True
    lose_context(self, space)
    tell(self, INFLATE_ERROR, self.frame_offset)


# Octets of an inflated message have no place on the wire: the frame's is told.
cdef void validate(Messages *self, const uint8_t *data, size_t size) noexcept nogil:
    if self.opcode != TEXT or not self.valid_utf8:
        return
    if not self.utf8.need and not non_ascii(data, size):
        return
    if utf8_feed(&self.utf8, data, size) < size:
        self.valid_utf8 = False
        tell(self, INVALID_UTF8, self.frame_offset)


# Inflated octets, in the inflater's own buffer.
cdef void take_inflated(Messages *self, Workspace *space, const uint8_t *data,
                        size_t size) noexcept nogil:
    cdef uint64_t left = self.limits.inflated_bytes - self.length
    cdef size_t some
    cdef uint8_t *out
    if size > left:
        size = <size_t>left
        self.capped = self.missing = True
        self.hashing = False
    validate(self, data, size)
    while size:
        some = size
        out = place(self, space, &some)
        if not self.cut:
            memcpy(out, data, some)
        took(self, data, some)
        data += some
        size -= some
    if self.capped:
        lose_context(self, space)
        tell(self, TRUNCATED, self.frame_offset)


cdef void take_doubtful(Messages *self, Workspace *space, const uint8_t *data,
                        size_t size) noexcept nogil:
    cdef const uint8_t *out
    cdef size_t made = 1, sure
    cdef bint fine
    while (size or made) and not self.withheld and not self.capped:
        fine = doubt_step(self.doubt, space, &data, &size, &out, &made, &sure)
        if not self.unsure:
            take_inflated(self, space, out, sure)
        else:
            sure = 0
        if sure < made:
            self.unsure = True
            self.length += made - sure
            if self.length > self.limits.inflated_bytes:
                self.withheld = True
                lose_context(self, space)
        if not fine and not self.withheld and not self.capped:
            inflate_error(self, space)


cdef void take_packed(Messages *self, Workspace *space, const uint8_t *data,
                      size_t size) noexcept nogil:
    cdef InflateState state
    cdef const uint8_t *out
    cdef size_t made
    if self.doubt != NULL:
        take_doubtful(self, space, data, size)
        return
    while not self.withheld and not self.capped:
        state = inflater_step(&self.inflater, space, &data, &size, &out, &made)
        # ISA-L counts the match whose distance it refuses: octets that were there before.
        if made and state != INFLATE_BAD:
            take_inflated(self, space, out, made)
        if self.capped or state == INFLATE_DONE:
            return
        if state == INFLATE_BAD:
            inflate_error(self, space)
        elif state == INFLATE_LOST:
            self.withheld = True


cdef void messages_take(Messages *self, Workspace *space, const uint8_t *data, size_t size,
                        uint64_t left, uint64_t offset) noexcept nogil:
    cdef bint unfinished = size < left
    cdef size_t some
    self.wire_length += size
    if not self.compressed:
        take_clear(self, space, data, size, offset)
        return
    while size and not self.withheld:
        some = min(size, <size_t>SW_SCRATCH_BYTES)
        unmask(space.packed, data, some, self.key)
        self.key = rotate(self.key, some)
        take_packed(self, space, space.packed, some)
        data += some
        size -= some
    if unfinished:
        messages_rest(self, space)


cdef void messages_rest(Messages *self, Workspace *space) noexcept nogil:
    if not inflater_rest(&self.inflater, space):
        self.withheld = True


cdef void messages_missing(Messages *self, Workspace *space, uint64_t size) noexcept nogil:
    cdef size_t some
    cdef uint8_t *out
    self.missing = True
    self.hashing = False
    self.wire_length += size
    if self.compressed:
        if not self.withheld and not self.capped:
            self.withheld = True
            lose_context(self, space)
        return
    self.key = rotate(self.key, <size_t>(size & 3))
    while size and not self.cut:
        some = <size_t>min(size, <uint64_t>SW_SCRATCH_BYTES)
        out = place(self, space, &some)
        if not self.cut:
            memset(out, 0, some)
            self.kept.size += some
            self.length += some
            size -= some
    self.length += size


cdef void close_message(Messages *self, Workspace *space) noexcept nogil:
    self.open = False
    if self.kept.data != NULL:
        workspace_return(space, &self.kept)
    if self.digest != NULL:
        digest_free(&self.digest)


cdef void messages_finish(Messages *self, Workspace *space, uint64_t end,
                          bint after_close) noexcept nogil:
    cdef MessageEvent event
    cdef uint8_t digest[SHA256_BYTES]
    if self.compressed and not self.withheld and not self.capped:
        # A message without any octet is no deflate block (RFC 7692 7.2.3.6 sends 0x00);
        # it is taken as empty, and the context is left alone.  Behind a final block without
        # the 0x00 of 7.2.3.4 the tail would begin a block that the sender knows nothing of.
        if self.wire_length and not (
                self.doubt.final if self.doubt != NULL else self.inflater.final):
            take_packed(self, space, TAIL, 4)
        if self.doubt != NULL:
            end_doubt(self, space)
        elif not self.withheld:
            inflater_end(&self.inflater, space, True)
    if self.withheld or self.unsure:
        self.withheld_messages += 1
        close_message(self, space)
        return
    if self.valid_utf8 and self.utf8.need and not self.missing:
        self.valid_utf8 = False
        tell(self, INVALID_UTF8, self.frame_offset if self.compressed else end - 1)
    event.payload = self.kept.data if self.kept.data != NULL else space.scratch
    event.size = self.kept.size
    event.length = self.length
    event.wire_length = self.wire_length
    event.offset = self.offset
    event.sha256 = NULL
    if self.hashing:
        digest_finish(self.digest, digest)
        event.sha256 = digest
    event.fragments = self.fragments
    event.opcode = self.opcode
    event.compressed = self.compressed
    event.after_close = after_close
    event.valid_utf8 = self.valid_utf8
    event.complete = not self.missing
    self.handler.message(self.handler.user, <Direction>self.direction, &event)
    close_message(self, space)


cdef void messages_abandon(Messages *self, Workspace *space) noexcept nogil:
    if self.compressed and not self.withheld and not self.capped:
        lose_context(self, space)
    close_message(self, space)


cdef void messages_lost(Messages *self) noexcept nogil:
    inflater_lost(&self.inflater)
    if self.doubt != NULL:
        self.doubt.stale = True


cdef size_t messages_memory(const Messages *self) noexcept nogil:
    return (buffer_memory(&self.kept) + inflater_memory(&self.inflater)
            + doubt_memory(self.doubt)
            + (sizeof(Digest) if self.digest != NULL else 0))


cdef void messages_free(Messages *self) noexcept nogil:
    buffer_release(&self.kept)
    inflater_free(&self.inflater)
    doubt_free(self.doubt)
    self.doubt = NULL
    digest_free(&self.digest)
