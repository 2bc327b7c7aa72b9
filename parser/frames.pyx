"""Frame headers and what is wrong with them; see frames.pxd.

Three ways through a header.  Runs of messages that are one frame each and lie whole in
the chunk are taken by `whole_messages` (whole.pxd).  `regular_header` takes any other
that lies whole in it and breaks no rule, at the cost of a table look-up.  Every other goes
octet by octet through `head_octet`, which is the one place where rules are judged, so that
all cuts of a stream give the same events.

How parsing goes on (an endpoint fails the connection at each of these):

    reserved_opcode          its payload is skipped                              5.2
    rsv_bits                 as if the bits were not set                         5.2
    control_fragmented       as if FIN were set                                  5.5
    control_too_long         the first 125 octets are told, the rest skipped     5.5
    unexpected_continuation  it is told by itself, and is no message             5.4
    expected_continuation    the open message is dropped, the new begins         5.4
    unmasked_client          the payload is taken as it is                       5.1
    masked_server            it is unmasked                                      5.1
    length_not_minimal       the length counts                                   5.2
    length_overflow          2**53 or more: no frame has it, the direction stops 5.2
    data_after_close         told once, messages go on                           5.5.1

A gap inside a payload is skipped exactly.  Behind one over a header the next frame is searched
for (resync.pyx), and nothing is told before it is found: better nothing than a wrong message.
What it may continue began before: such frames are skipped, up to the next message.
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy, memset

from sockwarden.parser.control cimport (
    control_begin, control_end, control_free, control_memory, control_missing, control_payload)
from sockwarden.parser.events cimport (
    BINARY, C2S, CONTINUATION, CONTROL_FRAGMENTED, CONTROL_TOO_LONG, DATA_AFTER_CLOSE,
    EXPECTED_CONTINUATION, GAP, LENGTH_NOT_MINIMAL, LENGTH_OVERFLOW, MASKED_SERVER, PONG,
    RESERVED_OPCODE, RSV_BITS, TEXT, TRUNCATED, UNEXPECTED_CONTINUATION, UNMASKED_CLIENT, Anomaly,
    Deflate, Direction, Handler, Limits)
from sockwarden.parser.header cimport (
    CONTROL, CONTROL_BYTES, FIN, LENGTH, LENGTH_16, LENGTH_64, LENGTH_BITS, MASK, OPCODE, RSV1,
    RSV23, Header, header_read)
from sockwarden.parser.messages cimport (
    messages_abandon, messages_begin, messages_end, messages_free, messages_lost, messages_memory,
    messages_missing, messages_payload)
from sockwarden.parser.resync cimport (
    search_feed, search_free, search_gap, search_memory, search_new, search_settle)
from sockwarden.parser.whole cimport whole_messages
from sockwarden.parser.workspace cimport Workspace, workspace_get

# What a first octet may be depends on these.
cdef enum Situation:
    IN_MESSAGE = 1
    WITH_DEFLATE = 2
    AFTER_CLOSE = 4  # and data_after_close was not said yet
    SITUATIONS = 8

cdef enum:
    SKIPPED = FIN | 0x0F  # first octet that has a payload skipped: no opcode is known

# By first octet: bit `situation` is set where it breaks no rule.
cdef uint8_t REGULAR[256]


cdef inline bint is_known(uint8_t opcode) noexcept nogil:
    return opcode <= BINARY or CONTROL <= opcode <= PONG


cdef inline bint rsv_allowed(uint8_t first, bint deflate) noexcept nogil:
    if first & RSV23:
        return False
    # RFC 7692 section 6.1: in the first frame of a data message only
    return not first & RSV1 or deflate and first & OPCODE in (TEXT, BINARY)


cdef bint is_regular(uint8_t first, int situation) noexcept nogil:
    cdef uint8_t opcode = first & OPCODE
    if not is_known(opcode) or not rsv_allowed(first, situation & WITH_DEFLATE):
        return False
    if opcode & CONTROL:
        return first & FIN
    return (opcode == CONTINUATION) == (situation & IN_MESSAGE) and not situation & AFTER_CLOSE


def _fill_table():
    cdef int first, situation
    for first in range(256):
        for situation in range(<int>SITUATIONS):
            REGULAR[first] |= <uint8_t>(is_regular(<uint8_t>first, situation) << situation)


_fill_table()


cdef inline int situation_of(const Frames *self) noexcept nogil:
    return ((IN_MESSAGE if self.messages.open else 0)
            | (WITH_DEFLATE if self.messages.inflater.parameters.enabled else 0)
            | (AFTER_CLOSE if self.control.closed and not self.close_reported else 0))


# A frame with this first octet may be one of whole_messages.
cdef inline bint may_be_whole(const Frames *self, uint8_t first) noexcept nogil:
    return (first in (FIN | TEXT, FIN | BINARY) and not self.head_have and not self.adrift
            and not situation_of(self) & (IN_MESSAGE | AFTER_CLOSE))


cdef inline bint is_compressed(const Frames *self) noexcept nogil:
    return (self.header.first & RSV1 and self.messages.inflater.parameters.enabled
            and self.header.first & OPCODE in (TEXT, BINARY))


cdef inline void tell(const Frames *self, Anomaly kind, uint64_t offset) noexcept nogil:
    self.messages.handler.anomaly(
        self.messages.handler.user, <Direction>self.messages.direction, kind, offset)


cdef void frames_open(Frames *self, Direction direction, const Deflate *deflate,
                      const Limits *limits, const Handler *handler) noexcept nogil:
    memset(self, 0, sizeof(Frames))
    self.messages.handler = handler
    self.messages.limits = limits
    self.messages.direction = direction
    self.messages.inflater.parameters = deflate[0]


# --- headers ---

# Reads a header that is whole and breaks no rule.  Its size; 0: go octet by octet.
cdef inline size_t regular_header(Frames *self, const uint8_t *data, size_t have) noexcept nogil:
    cdef Header header
    cdef size_t size = header_read(&header, data, have)
    if (not size or not REGULAR[header.first] >> situation_of(self) & 1
            or (self.messages.direction == C2S) != (data[1] >= MASK)
            or header.first & CONTROL and header.length > CONTROL_BYTES):
        return 0
    header.offset = self.offset
    self.header = header
    return size


# The open message is lost.
cdef void abandon(Frames *self, Workspace *space) noexcept nogil:
    self.left = 0
    self.head_have = 0
    if self.messages.open:
        if not self.messages.missing:  # else it was told at the gap
            tell(self, TRUNCATED, self.offset)
        messages_abandon(&self.messages, space)


# This octet is of a frame that continues a message whose beginning was not seen.
cdef bint is_of_lost_message(Frames *self, uint8_t first) noexcept nogil:
    cdef uint8_t opcode = first & OPCODE
    cdef bint adrift = self.adrift
    if opcode in (TEXT, BINARY) or opcode == CONTINUATION and first & FIN:
        self.adrift = False
    return adrift and opcode == CONTINUATION


cdef void judge_first(Frames *self, Workspace *space, uint8_t first) noexcept nogil:
    cdef uint8_t opcode = first & OPCODE
    cdef uint64_t offset = self.offset
    if not is_known(opcode):
        tell(self, RESERVED_OPCODE, offset)
    if not rsv_allowed(first, self.messages.inflater.parameters.enabled):
        tell(self, RSV_BITS, offset)
    if opcode & CONTROL:
        if not first & FIN:
            tell(self, CONTROL_FRAGMENTED, offset)
        return
    if opcode == CONTINUATION and not self.messages.open:
        tell(self, UNEXPECTED_CONTINUATION, offset)
    elif opcode in (TEXT, BINARY) and self.messages.open:
        tell(self, EXPECTED_CONTINUATION, offset)
        messages_abandon(&self.messages, space)
    if self.control.closed and not self.close_reported and is_known(opcode):
        self.close_reported = True
        tell(self, DATA_AFTER_CLOSE, offset)


cdef void judge_second(Frames *self, uint8_t second) noexcept nogil:
    cdef uint8_t length = second & LENGTH
    self.header.length = length
    self.extended = 2 if length == LENGTH_16 else 8 if length == LENGTH_64 else 0
    if self.extended:
        self.header.length = 0
    self.too_long = False
    if self.messages.direction == C2S:
        if not second & MASK:
            tell(self, UNMASKED_CLIENT, self.offset)
    elif second & MASK:
        tell(self, MASKED_SERVER, self.offset)


# The extended length, whose octets are at 2 to 3 or 2 to 9.
cdef void judge_length(Frames *self, Workspace *space, size_t at, uint8_t octet) noexcept nogil:
    cdef bint last = at == <size_t>self.extended + 1
    self.header.length = self.header.length << 8 | octet
    if self.extended == 8 and self.header.length << 8 * (9 - at) >> LENGTH_BITS:
        tell(self, LENGTH_OVERFLOW, self.offset)
        self.step = STOPPED
        abandon(self, space)
        return
    if self.head[0] & CONTROL and not self.too_long and self.header.length > (
            CONTROL_BYTES if last else 0):
        self.too_long = True
        tell(self, CONTROL_TOO_LONG, self.offset)
    if self.extended == 2:
        if last and self.header.length < LENGTH_16:
            tell(self, LENGTH_NOT_MINIMAL, self.offset)
    elif at == 7 and not self.header.length:
        tell(self, LENGTH_NOT_MINIMAL, self.offset)


# One octet of a header.  True: it was the last one.
cdef bint head_octet(Frames *self, Workspace *space, uint8_t octet) noexcept nogil:
    cdef size_t at = self.head_have, size
    self.head[at] = octet
    self.head_have += 1
    if at == 0:
        self.header.offset = self.offset
        self.header.first = octet
        if self.adrift and is_of_lost_message(self, octet):
            self.header.first = SKIPPED
        else:
            judge_first(self, space, octet)
        return False
    if at == 1:
        judge_second(self, octet)
    elif at < <size_t>self.extended + 2:
        judge_length(self, space, at, octet)
        if self.step != IN_STEP:
            return False
    size = 2 + self.extended + (4 if self.head[1] & MASK else 0)
    if self.head_have < size:
        return False
    self.header.key = 0
    if self.head[1] & MASK:
        memcpy(&self.header.key, self.head + size - 4, 4)
    self.header.size = <uint8_t>size
    self.head_have = 0
    return True


# --- frames ---

cdef void begin_frame(Frames *self, Workspace *space) noexcept nogil:
    cdef uint8_t opcode = self.header.first & OPCODE
    self.left = self.header.length
    if opcode <= BINARY:
        messages_begin(&self.messages, space, &self.header, is_compressed(self))
    elif is_known(opcode):
        control_begin(&self.control, &self.header)
    if not self.left:
        end_frame(self, space)


cdef void payload(Frames *self, Workspace *space, const uint8_t *data, size_t size) noexcept nogil:
    cdef uint8_t opcode = self.header.first & OPCODE
    if opcode <= BINARY:
        messages_payload(&self.messages, space, data, size, self.left, self.offset)
    elif is_known(opcode):
        control_payload(&self.control, space, self.messages.handler,
                        <Direction>self.messages.direction, data, size, self.left, self.offset)
    self.offset += size
    self.left -= size
    if not self.left:
        end_frame(self, space)


cdef void end_frame(Frames *self, Workspace *space) noexcept nogil:
    cdef uint8_t opcode = self.header.first & OPCODE
    if opcode <= BINARY:
        messages_end(&self.messages, space, self.header.first & FIN, self.offset,
                     self.control.closed)
    elif is_known(opcode):
        control_end(&self.control, &self.header, self.messages.handler,
                    <Direction>self.messages.direction)


# --- in step, and out of it ---

# Where the next frame begins is not known.  What was lost may have been compressed.
cdef void search(Frames *self, Workspace *space, uint64_t start) noexcept nogil:
    cdef uint8_t first = 0
    if self.messages.open:
        first = self.messages.opcode | (RSV1 if self.messages.compressed else 0)
    abandon(self, space)
    messages_lost(&self.messages)
    self.search = search_new(start, <Direction>self.messages.direction,
                             &self.messages.inflater.parameters, &self.header, first)
    self.step = STOPPED if self.search == NULL else SEARCHING


# A frame begins at `boundary`.
cdef void regain(Frames *self, uint64_t boundary) noexcept nogil:
    cdef Search *search = self.search
    cdef size_t before = <size_t>(boundary - search.base)
    self.undecoded += search.undecoded + before
    self.search = NULL
    self.step = IN_STEP
    self.adrift = True
    self.offset = boundary
    frames_feed(self, search.kept.data + before, search.kept.size - before)
    search_free(search)


# Octets while it is not in step.  How many were taken.
cdef size_t feed_lost(Frames *self, const uint8_t *data, size_t size) noexcept nogil:
    cdef uint64_t boundary
    cdef size_t used
    if self.step == STOPPED:
        self.undecoded += size
        self.offset += size
        return size
    if search_feed(self.search, data, size, &used, &boundary):
        regain(self, boundary)
    else:
        self.offset += used
    return used


# The octets of a search end here.
cdef void settle(Frames *self) noexcept nogil:
    cdef uint64_t boundary
    if self.step == SEARCHING and search_settle(self.search, &boundary):
        regain(self, boundary)


cdef void frames_feed(Frames *self, const uint8_t *data, size_t size) noexcept nogil:
    cdef const uint8_t *end = data + size
    cdef size_t have, some
    cdef Workspace *space = workspace_get()
    if space == NULL:
        frames_gap(self, size)
        return
    while data < end:
        have = <size_t>(end - data)
        if self.step != IN_STEP:
            data += feed_lost(self, data, have)
            continue
        if self.left:
            some = <size_t>min(self.left, <uint64_t>have)
            payload(self, space, data, some)
            data += some
            continue
        if may_be_whole(self, data[0]):
            some = whole_messages(&self.messages, space, data, have, self.offset,
                                  self.control.closed, &self.header)
            data += some
            have -= some
            self.offset += some
            if not have:
                return
        some = 0 if self.head_have or self.adrift else regular_header(self, data, have)
        if some:
            data += some
            self.offset += some
            begin_frame(self, space)
            continue
        # The offset is that of the octet while it is judged, then of the next one.
        some = head_octet(self, space, data[0])
        data += 1
        self.offset += 1
        if some:
            begin_frame(self, space)


cdef void frames_gap(Frames *self, uint64_t size) noexcept nogil:
    cdef Workspace *space = workspace_get()
    if not size or self.ended:
        return
    settle(self)
    tell(self, GAP, self.offset)
    if self.step == SEARCHING:
        search_gap(self.search, size)
    elif space == NULL:
        self.step = STOPPED
    elif self.step == IN_STEP:
        if size > self.left or self.head_have:
            search(self, space, self.offset + size)
        else:
            skip(self, space, size)
            return
    self.offset += size


# Octets of the open payload are missing.
cdef void skip(Frames *self, Workspace *space, uint64_t size) noexcept nogil:
    cdef uint8_t opcode = self.header.first & OPCODE
    if opcode <= BINARY:
        if not self.messages.missing:
            tell(self, TRUNCATED, self.offset)
        messages_missing(&self.messages, space, size)
    elif is_known(opcode):
        control_missing(&self.control)
    self.offset += size
    self.left -= size
    if not self.left:
        end_frame(self, space)


cdef void frames_midstream(Frames *self) noexcept nogil:
    cdef Workspace *space = workspace_get()
    if space == NULL:
        self.step = STOPPED
    else:
        search(self, space, 0)


cdef void frames_end(Frames *self) noexcept nogil:
    cdef Workspace *space = workspace_get()
    if self.ended:
        return
    settle(self)
    if self.step == SEARCHING:
        self.undecoded += self.search.undecoded + self.search.kept.size
        search_free(self.search)
        self.search = NULL
    elif (self.left or self.head_have or self.messages.open) and not (
            self.messages.open and self.messages.missing):
        tell(self, TRUNCATED, self.offset)
    if self.messages.open and space != NULL:
        messages_abandon(&self.messages, space)
    self.ended = True
    self.step = STOPPED
    self.left = 0
    self.head_have = 0


cdef uint64_t frames_undecoded(const Frames *self) noexcept nogil:
    if self.search == NULL:
        return self.undecoded
    return self.undecoded + self.search.undecoded + self.search.kept.size


cdef size_t frames_memory(const Frames *self) noexcept nogil:
    return (messages_memory(&self.messages) + control_memory(&self.control)
            + search_memory(self.search))


cdef void frames_close(Frames *self) noexcept nogil:
    messages_free(&self.messages)
    control_free(&self.control)
    search_free(self.search)
    self.search = NULL
