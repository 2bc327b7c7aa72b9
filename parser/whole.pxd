"""The common message: one frame, not compressed, whole in the chunk.  The hot path.

Runs of them are taken in one loop, inlined where it is called, that keeps nothing in
memory but the event; each payload is passed once: unmasked and tested for ASCII.  Here no
rule is judged.  The loop takes what breaks none and stops at anything else, which
frames.pyx reads again from its first octet.
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memset

from sockwarden.parser.digest cimport SHA256_BYTES, digest_of
from sockwarden.parser.events cimport (
    BINARY, C2S, DIGEST_ALL, INVALID_UTF8, TEXT, Direction, MessageEvent)
from sockwarden.parser.header cimport FIN, MASK, OPCODE, Header, header_read
from sockwarden.parser.masking cimport non_ascii, unmask
from sockwarden.parser.messages cimport Messages
from sockwarden.parser.utf8 cimport Utf8, utf8_feed, utf8_unmask
from sockwarden.parser.workspace cimport SW_SCRATCH_BYTES, Workspace


# Tells bad text, whose first octet is at `offset`.  `fine`: how many octets are not.
cdef inline void tell_bad_text(const Messages *self, size_t fine, size_t size,
                               uint64_t offset) noexcept nogil:
    self.handler.anomaly(self.handler.user, <Direction>self.direction, INVALID_UTF8,
                         offset + min(fine, size - 1))


# Longer ones are joined (masked: unmasked in pieces) or cut.
cdef inline size_t most_bytes(const Messages *self) noexcept nogil:
    cdef uint64_t most = self.limits.message_bytes
    return <size_t>min(most, <uint64_t>SW_SCRATCH_BYTES) if self.direction == C2S else most


# Tells the messages at the head of the chunk, whose first octet is at `offset` and begins a
# frame, while none is open, and leaves the header of the last in `last`.  How many octets they
# took.
cdef inline size_t whole_messages(const Messages *self, Workspace *space, const uint8_t *data,
                                  size_t size, uint64_t offset, bint after_close,
                                  Header *last) noexcept nogil:
    cdef Direction direction = <Direction>self.direction
    cdef uint8_t mask_bit = MASK if direction == C2S else 0
    cdef size_t most = most_bytes(self)
    cdef size_t used = 0, head, fine
    cdef const uint8_t *payload
    cdef Utf8 state = Utf8(0, 0, 0, False)
    cdef Header header
    cdef MessageEvent event
    cdef uint8_t digest[SHA256_BYTES]
    cdef bint hashing = self.limits.digest == DIGEST_ALL
    memset(&event, 0, sizeof(MessageEvent))
    if hashing:
        event.sha256 = digest
    event.fragments = 1
    event.after_close = after_close
    event.complete = True
    while True:
        head = header_read(&header, data + used, size - used)
        if (not head or header.first not in (FIN | TEXT, FIN | BINARY)
                or data[used + 1] & MASK != mask_bit or header.length > most
                or header.length > size - used - head):
            if used:
                last.first = FIN | event.opcode
                last.length = event.length
            return used
        payload = data + used + head
        event.offset = offset + used
        event.size = <size_t>header.length
        event.length = event.wire_length = header.length
        event.opcode = header.first & OPCODE
        used += head + event.size
        memset(&state, 0, sizeof(Utf8))
        fine = event.size
        if mask_bit:
            if event.opcode == TEXT:
                fine = utf8_unmask(&state, space.scratch, payload, event.size, header.key)
            else:
                unmask(space.scratch, payload, event.size, header.key)
            payload = space.scratch
        elif event.opcode == TEXT and non_ascii(payload, event.size):
            fine = utf8_feed(&state, payload, event.size)
        event.valid_utf8 = fine == event.size and not state.need
        if not event.valid_utf8:
            tell_bad_text(self, fine, event.size, event.offset + head)
        event.payload = payload
        if hashing:
            digest_of(payload, event.size, digest)
        self.handler.message(self.handler.user, direction, &event)
