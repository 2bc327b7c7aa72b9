"""Data messages of one direction: joined, unmasked, inflated, validated, hashed.

frames.pyx calls begin, payload... and end for each data frame of a message that is not
whole.pxd's.  Offsets are those of the direction's stream.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from sockwarden.parser.buffer cimport Buffer
from sockwarden.parser.digest cimport Digest
from sockwarden.parser.doubt cimport Doubt
from sockwarden.parser.events cimport CONTINUATION, INVALID_UTF8, TEXT, Direction, Handler, Limits
from sockwarden.parser.header cimport Header
from sockwarden.parser.inflate cimport Inflater
from sockwarden.parser.masking cimport rotate, unmask
from sockwarden.parser.utf8 cimport Utf8, utf8_unmask
from sockwarden.parser.workspace cimport Workspace, workspace_grow


cdef struct Messages:
    const Handler *handler
    const Limits *limits
    Inflater inflater
    Doubt *doubt            # inflates while the inflater's context is lost, NULL: it was not needed
    Digest *digest
    # The open message
    Buffer kept             # its first bytes
    uint64_t length
    uint64_t wire_length
    uint64_t offset         # of its first frame
    uint64_t frame_offset   # of the open frame
    uint32_t key            # of the open frame, turned to its next octet
    uint32_t fragments
    Utf8 utf8
    uint8_t opcode
    uint8_t open
    uint8_t compressed
    uint8_t withheld        # cannot be inflated
    uint8_t unsure          # depends on what was lost
    uint8_t capped          # inflated as far as Limits.inflated_bytes, and no further
    uint8_t cut             # nothing more is kept
    uint8_t missing         # octets are
    uint8_t hashing
    uint8_t valid_utf8
    uint8_t direction       # Direction
    uint64_t withheld_messages

# For what is below.
cdef void messages_open(Messages *self, Workspace *space, const Header *header,
                        bint compressed) noexcept nogil
cdef void messages_take(Messages *self, Workspace *space, const uint8_t *data, size_t size,
                        uint64_t left, uint64_t offset) noexcept nogil
cdef void messages_rest(Messages *self, Workspace *space) noexcept nogil
cdef void messages_finish(Messages *self, Workspace *space, uint64_t end,
                          bint after_close) noexcept nogil


# A data frame begins.  `compressed`: RSV1 of a first frame, with the extension.
cdef inline void messages_begin(Messages *self, Workspace *space, const Header *header,
                                bint compressed) noexcept nogil:
    if not self.open:
        messages_open(self, space, header, compressed)
    self.fragments += 1
    self.frame_offset = header.offset
    self.key = header.key


# Unmasks octets of the open frame and validates them, if that is asked for.
cdef inline void messages_unmask(Messages *self, uint8_t *out, const uint8_t *data, size_t size,
                                 uint64_t offset) noexcept nogil:
    cdef size_t fine
    if self.opcode == TEXT and self.valid_utf8 and not self.missing:
        fine = utf8_unmask(&self.utf8, out, data, size, self.key)
        if fine < size:
            self.valid_utf8 = False
            self.handler.anomaly(self.handler.user, <Direction>self.direction, INVALID_UTF8,
                                 offset + fine)
    else:
        unmask(out, data, size, self.key)
    self.key = rotate(self.key, size)


# Octets of the open frame, as on the wire; with them `left` are to come, says its header.
# Inline: what is kept whole and not hashed.
cdef inline void messages_payload(Messages *self, Workspace *space, const uint8_t *data,
                                  size_t size, uint64_t left, uint64_t offset) noexcept nogil:
    cdef uint64_t have = self.kept.size + size
    if (self.compressed or self.cut or self.hashing or have > self.limits.message_bytes
            or have > self.kept.room
            and not workspace_grow(space, &self.kept, <size_t>have, self.kept.size + left)):
        messages_take(self, space, data, size, left, offset)
        return
    messages_unmask(self, self.kept.data + self.kept.size, data, size, offset)
    self.kept.size = <size_t>have
    self.length += size
    self.wire_length += size

# `size` octets of the open frame's payload are lost.
cdef void messages_missing(Messages *self, Workspace *space, uint64_t size) noexcept nogil

# The frame is over, at offset `end`; with FIN the message too.
cdef inline void messages_end(Messages *self, Workspace *space, bint fin, uint64_t end,
                              bint after_close) noexcept nogil:
    # Section 5.4: a continuation of nothing ends with its frame.  It is no message, but
    # what it carries is told.
    if fin or self.opcode == CONTINUATION:
        messages_finish(self, space, end, after_close)
    elif self.compressed:
        messages_rest(self, space)

# The open message will not be finished.
cdef void messages_abandon(Messages *self, Workspace *space) noexcept nogil

# Frames were lost, nobody knows which.
cdef void messages_lost(Messages *self) noexcept nogil

cdef size_t messages_memory(const Messages *self) noexcept nogil
cdef void messages_free(Messages *self) noexcept nogil
