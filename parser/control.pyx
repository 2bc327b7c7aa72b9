"""Reads one control frame at a time; a direction never has two open.

The payload of a Close is judged as it comes.  A reason that is not UTF-8 (section
5.5.1) is `invalid_close_payload`, as is a payload of one octet; `invalid_utf8` is
kept for messages.  Only the first 125 octets of a control frame are kept or judged,
the others are skipped exactly.  A frame that comes in pieces is kept in memory of its own, so
that an idle connection holds none.
"""

from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from sockwarden.parser.buffer cimport SLACK
from sockwarden.parser.events cimport (
    CLOSE, INVALID_CLOSE_CODE, INVALID_CLOSE_PAYLOAD, ControlEvent, Direction, Handler)
from sockwarden.parser.header cimport CONTROL_BYTES, OPCODE, Header
from sockwarden.parser.masking cimport rotate, unmask
from sockwarden.parser.utf8 cimport Utf8, utf8_feed
from sockwarden.parser.workspace cimport Workspace

cdef enum:
    KEPT_BYTES = CONTROL_BYTES + SLACK

cdef const uint8_t *EMPTY = b""


cdef inline bint has_code(const Control *self) noexcept nogil:
    return self.opcode == CLOSE and self.size >= 2


cdef inline uint16_t code_of(const Control *self) noexcept nogil:
    if not has_code(self):
        return 0
    return <uint16_t>(self.payload[0] << 8 | self.payload[1])


# Sections 7.4.1 and 7.4.2; 1012 to 1014 were registered with IANA later.
cdef inline bint may_be_sent(uint16_t code) noexcept nogil:
    if 1000 <= code <= 1014:
        return code not in (1004, 1005, 1006)
    return 3000 <= code <= 4999


cdef void control_begin(Control *self, const Header *header) noexcept nogil:
    self.key = header.key
    self.opcode = header.first & OPCODE
    self.size = 0
    self.payload = EMPTY
    self.faulty = self.missing = False
    memset(&self.reason, 0, sizeof(Utf8))


cdef void judge_close(Control *self, const Handler *handler, Direction direction, size_t before,
                      uint64_t offset) noexcept nogil:
    cdef size_t reason = max(before, <size_t>2)
    cdef size_t fine
    if before < 2 <= self.size and not may_be_sent(code_of(self)):
        handler.anomaly(handler.user, direction, INVALID_CLOSE_CODE, offset + 1 - before)
    if self.size > reason and not self.faulty:
        fine = utf8_feed(&self.reason, self.payload + reason, self.size - reason)
        if fine < self.size - reason:
            self.faulty = True
            handler.anomaly(handler.user, direction, INVALID_CLOSE_PAYLOAD,
                            offset + (reason - before) + fine)


# Where the payload goes.  NULL: no memory.
cdef uint8_t *place(Control *self, Workspace *space, bint whole) noexcept nogil:
    if whole:
        self.payload = space.scratch
        return space.scratch
    if self.kept == NULL:
        self.kept = <uint8_t *>malloc(KEPT_BYTES)
    if self.kept != NULL:
        self.payload = self.kept
    return self.kept


cdef void control_payload(Control *self, Workspace *space, const Handler *handler,
                          Direction direction, const uint8_t *data, size_t size,
                          uint64_t left, uint64_t offset) noexcept nogil:
    cdef size_t before = self.size
    cdef size_t taken = min(size, <size_t>CONTROL_BYTES - before)
    cdef uint8_t *out
    if not taken or self.missing:
        return
    out = place(self, space, not before and size == left)
    if out == NULL:
        control_missing(self)
        return
    unmask(out + before, data, taken, self.key)
    self.key = rotate(self.key, taken)
    self.size += <uint8_t>taken
    if self.opcode == CLOSE:
        judge_close(self, handler, direction, before, offset)


cdef void control_missing(Control *self) noexcept nogil:
    self.missing = self.faulty = True


cdef void control_end(Control *self, const Header *header, const Handler *handler,
                      Direction direction) noexcept nogil:
    cdef ControlEvent event
    if self.opcode == CLOSE and not self.faulty and (
            header.length == 1 or header.length <= CONTROL_BYTES and self.reason.need):
        handler.anomaly(handler.user, direction, INVALID_CLOSE_PAYLOAD,
                        header.offset + header.size + header.length - 1)
    event.payload = self.payload
    event.size = self.size
    event.length = header.length
    event.offset = header.offset
    event.code = code_of(self)
    event.has_code = has_code(self)
    event.opcode = self.opcode
    event.after_close = self.closed
    if self.opcode == CLOSE:
        self.closed = True
    handler.control(handler.user, direction, &event)
    control_free(self)


cdef size_t control_memory(const Control *self) noexcept nogil:
    return KEPT_BYTES if self.kept != NULL else 0


cdef void control_free(Control *self) noexcept nogil:
    free(self.kept)
    self.kept = NULL
