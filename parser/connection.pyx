"""From heads to frames, in both directions; see connection.pxd.

The client's bytes begin with a request, or with a PROXY protocol header before it, which is
skipped.  Requests before the one that asks for the
upgrade (pipelined) are skipped with their bodies, as are their responses and interim
ones (1xx).  Both heads known, the handshake is told: with status 101 frames follow in
both directions, else HTTP goes on as far as its bodies can be framed, and the next request
that asks is told too.  What comes before that decision is kept, up to a bound, and parsed
after it; what is beyond the bound counts as a gap.

Where a response is lost, the client's next octet says whether it was a 101; where a part of it
is, permessage-deflate is presumed if it was offered: the widest window decodes whatever was agreed.
"""

from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from sockwarden.parser.body cimport BODY_DONE, body_begin, body_skip
from sockwarden.parser.buffer cimport Buffer, buffer_memory, buffer_release, buffer_reserve
from sockwarden.parser.events cimport C2S, S2C, Deflate, Direction, Handler, HandshakeEvent, Limits
from sockwarden.parser.extensions cimport (
    extensions_agreed, extensions_offer_deflate, extensions_presume_deflate)
from sockwarden.parser.frames cimport (
    frames_close, frames_end, frames_feed, frames_gap, frames_memory, frames_midstream,
    frames_open, frames_undecoded)
from sockwarden.parser.head cimport (
    HEAD_START, HEAD_WHOLE, Text, equals, head_asks, head_field, head_find, head_line, head_scan,
    head_status)
from sockwarden.parser.preface cimport PREFACE_OVER, preface_begun, preface_skip
from sockwarden.parser.stream cimport Piece, stream_place

cdef enum:
    SWITCHING_PROTOCOLS = 101
    NO_CONTENT = 204
    NOT_MODIFIED = 304
    BODILESS_BITS = 64  # of Connection.bodiless; a later HEAD counts as any request


cdef Connection *connection_new(const Limits *limits, const Handler *handler) noexcept nogil:
    cdef Connection *self = <Connection *>calloc(1, sizeof(Connection))
    cdef Opening *openings = <Opening *>calloc(2, sizeof(Opening))
    if self == NULL or openings == NULL:
        free(self)
        free(openings)
        return NULL
    self.limits = limits[0]
    self.handler = handler[0]
    self.side[0].opening = openings
    self.side[1].opening = openings + 1
    return self


# The handshake is over.
cdef void release_openings(Connection *self) noexcept nogil:
    cdef Opening *openings = self.side[0].opening
    cdef int direction
    if openings == NULL:
        return
    for direction in range(2):
        buffer_release(&openings[direction].head)
        buffer_release(&openings[direction].early)
        self.side[direction].opening = NULL
    free(openings)


cdef void connection_midstream(Connection *self) noexcept nogil:
    cdef Deflate deflate[2]
    cdef int direction
    extensions_presume_deflate(deflate)
    self.told = True
    for direction in range(2):
        self.side[direction].phase = PHASE_FRAMES
        frames_open(&self.side[direction].frames, <Direction>direction, &deflate[direction],
                    &self.limits, &self.handler)
        frames_midstream(&self.side[direction].frames)
    release_openings(self)


# Keeps what fits into the bound, and tells how much that was.
cdef size_t keep(Buffer *buffer, const uint8_t *data, size_t size, size_t bound) noexcept nogil:
    size = min(size, bound - buffer.size)
    if not size or not buffer_reserve(buffer, buffer.size + size):
        return 0
    memcpy(buffer.data + buffer.size, data, size)
    buffer.size += size
    return size


# --- the handshake ---

cdef bint is_whole(const Connection *self, Direction direction) noexcept nogil:
    cdef const Side *side = &self.side[<int>direction]
    return side.opening.scan == HEAD_WHOLE and side.opening.head.size < self.limits.head_bytes


# The first octet of a client's frame; a method has none of them.
cdef inline bint begins_frame(uint8_t octet) noexcept nogil:
    return octet & 0x80 or octet == 1 or octet == 2


cdef void read_extensions(HandshakeEvent *event, Text response) noexcept nogil:
    cdef Text rest = response, line, name, value
    cdef unsigned int faults = 0
    head_line(&rest, &line, &faults)
    while head_field(&rest, &name, &value, &faults):
        if equals(name, b"sec-websocket-extensions"):
            extensions_agreed(value, event.deflate)


cdef bint may_offer_deflate(const Connection *self) noexcept nogil:
    cdef const Buffer *request = &self.side[<int>C2S].opening.head
    cdef Text rest = Text(request.data, request.size)
    cdef Text line, name, value
    cdef unsigned int faults = 0
    if not is_whole(self, C2S):
        return True
    head_line(&rest, &line, &faults)
    while head_field(&rest, &name, &value, &faults):
        if equals(name, b"sec-websocket-extensions") and extensions_offer_deflate(value):
            return True
    return False


cdef void open_frames(Connection *self, Direction direction,
                      const HandshakeEvent *event) noexcept nogil:
    cdef Side *side = &self.side[<int>direction]
    cdef uint64_t dropped = side.frames.undecoded
    side.phase = PHASE_FRAMES
    frames_open(&side.frames, direction, &event.deflate[<int>direction], &self.limits,
                &self.handler)
    side.frames.undecoded = dropped
    if side.opening.early.size:
        frames_feed(&side.frames, side.opening.early.data, side.opening.early.size)
    frames_gap(&side.frames, side.opening.early_missing)
    if side.ended:
        frames_end(&side.frames)


# Whether the response's body says where it ends (RFC 9112 section 6.3).
cdef bint is_framed(Text response, uint16_t status) noexcept nogil:
    cdef Text value
    return (status in (NO_CONTENT, NOT_MODIFIED)
            or head_find(response, b"content-length", NULL, &value)
            or head_find(response, b"transfer-encoding", b"chunked", &value))


# Behind a refusal HTTP goes on.  False: no further head would be found.
cdef bint go_on(Connection *self, uint16_t status) noexcept nogil:
    cdef Side *client = &self.side[<int>C2S]
    cdef Side *server = &self.side[<int>S2C]
    cdef Buffer early[2]
    cdef int direction
    if (not status or not is_whole(self, C2S) or not is_whole(self, S2C)
            or client.opening.early_missing or server.opening.early_missing
            or client.ended or server.ended
            or not is_framed(Text(server.opening.head.data, server.opening.head.size), status)):
        return False
    self.told = False
    self.refused = True
    skip_message(server, status not in (NO_CONTENT, NOT_MODIFIED))
    if client.phase != PHASE_BODY:
        client.phase = PHASE_HEAD
    client.opening.scan = HEAD_START
    client.opening.head.size = 0
    for direction in range(2):
        early[direction] = self.side[direction].opening.early
        memset(&self.side[direction].opening.early, 0, sizeof(Buffer))
    for direction in range(2):
        feed(self, <Direction>direction, early[direction].data, early[direction].size)
        buffer_release(&early[direction])
    return True


# Tells the handshake once all is known that can be, or at once.
cdef void settle(Connection *self, bint at_once) noexcept nogil:
    cdef Side *client = &self.side[<int>C2S]
    cdef Side *server = &self.side[<int>S2C]
    cdef const Buffer *early
    cdef Text response
    cdef HandshakeEvent event
    cdef int direction
    if self.told or server.phase != PHASE_WAIT and not server.ended:
        return
    response = Text(server.opening.head.data, server.opening.head.size)
    event.status = head_status(response)
    event.upgraded = event.status == SWITCHING_PROTOCOLS
    if not event.status and server.opening.early_missing and client.phase == PHASE_WAIT:
        early = &client.opening.early
        if not early.size and not client.ended:
            return
        event.upgraded = early.size > 0 and begins_frame(early.data[0])
    if event.upgraded and client.phase != PHASE_WAIT:
        if not client.ended and not at_once:
            return
        client.opening.early_missing = 1  # of a size that is not known
    if (not event.upgraded and client.phase != PHASE_WAIT and client.opening.scan != HEAD_WHOLE
            and (self.refused or not (client.opening.head.size or client.ended or at_once))):
        return  # nobody asked again, or the request is still to come
    self.told = True
    event.request = client.opening.head.data
    event.request_size = client.opening.head.size
    event.response = server.opening.head.data if server.opening.head.size else NULL
    event.response_size = server.opening.head.size
    for direction in range(2):
        event.deflate[direction].enabled = False
        event.deflate[direction].no_context_takeover = False
        event.deflate[direction].window_bits = 0
    if event.upgraded:
        read_extensions(&event, response)
        if (not event.deflate[0].enabled and not is_whole(self, S2C)
                and may_offer_deflate(self)):
            extensions_presume_deflate(event.deflate)
    self.handler.handshake(self.handler.user, &event)
    if event.upgraded:
        open_frames(self, C2S, &event)
        open_frames(self, S2C, &event)
    elif go_on(self, event.status):
        return
    if not event.upgraded:
        self.side[0].phase = self.side[1].phase = PHASE_OVER
    release_openings(self)


cdef void skip_message(Side *side, bint has_body) noexcept nogil:
    side.opening.body.state = BODY_DONE
    if has_body:
        body_begin(&side.opening.body, Text(side.opening.head.data, side.opening.head.size))
    side.phase = PHASE_HEAD if side.opening.body.state == BODY_DONE else PHASE_BODY
    side.opening.scan = HEAD_START
    side.opening.head.size = 0


cdef bint is_head_request(Text head) noexcept nogil:
    return head.size > 5 and equals(Text(head.data, 5), b"head ")


cdef void head_is_whole(Connection *self, Direction direction) noexcept nogil:
    cdef Side *side = &self.side[<int>direction]
    cdef Text head = Text(side.opening.head.data, side.opening.head.size)
    cdef uint16_t status
    if direction == C2S:
        if head.size < self.limits.head_bytes and not head_asks(head):
            if self.unanswered < BODILESS_BITS and is_head_request(head):
                self.bodiless |= <uint64_t>1 << self.unanswered
            self.unanswered += 1
            skip_message(side, True)
            return
        self.handler.request(self.handler.user, head.data, head.size)
        body_begin(&side.opening.body, head)
        if side.opening.body.state != BODY_DONE:
            # RFC 9110 section 7.8: the other protocol begins behind the whole request.
            side.phase = PHASE_BODY
            side.opening.asked = True
            return
    else:
        status = head_status(head)
        if 100 <= status < 200 and status != SWITCHING_PROTOCOLS:
            skip_message(side, False)
            return
        if self.unanswered and status != SWITCHING_PROTOCOLS:
            skip_message(side, not self.bodiless & 1 and status not in (NO_CONTENT, NOT_MODIFIED))
            self.unanswered -= 1
            self.bodiless >>= 1
            return
    side.phase = PHASE_WAIT
    settle(self, False)


cdef size_t feed_head(Connection *self, Direction direction, const uint8_t *data,
                      size_t size) noexcept nogil:
    cdef Side *side = &self.side[<int>direction]
    cdef size_t used, blank = 0
    if side.opening.scan == HEAD_START:
        while blank < size and data[blank] in b"\r\n":
            blank += 1
        if blank:
            return blank  # what follows may be a frame
    used = head_scan(&side.opening.scan, data, size)
    keep(&side.opening.head, data, used, self.limits.head_bytes)
    if side.opening.scan == HEAD_WHOLE:
        head_is_whole(self, direction)
    return used


# A body, of the request that asks for the upgrade too.  Some servers read no body of that one:
# if it begins like a frame, it is one.
cdef size_t feed_body(Connection *self, Direction direction, const uint8_t *data,
                      size_t size) noexcept nogil:
    cdef Side *side = &self.side[<int>direction]
    cdef size_t used = 0
    if side.opening.asked and begins_frame(data[0]):
        side.opening.body.state = BODY_DONE
    side.opening.asked = False
    if side.opening.body.state != BODY_DONE:
        used = body_skip(&side.opening.body, data, size)
    if side.opening.body.state == BODY_DONE:
        if side.opening.scan != HEAD_WHOLE:
            side.phase = PHASE_HEAD
        else:
            side.phase = PHASE_WAIT
            settle(self, False)
    return used


# What comes before the client's first request.
cdef size_t feed_preface(Connection *self, const uint8_t *data, size_t size) noexcept nogil:
    cdef const uint8_t *instead = NULL
    cdef size_t instead_size = 0
    cdef size_t used = preface_skip(&self.preface, data, size, &instead, &instead_size)
    cdef size_t some
    while instead_size:
        some = feed_head(self, C2S, instead, instead_size)
        instead += some
        instead_size -= some
    return used


# The server has agreed to a request that was not seen, and the client goes on with a frame.
cdef bint is_unasked(Connection *self, Direction direction, uint8_t octet) noexcept nogil:
    return (direction == C2S and self.side[<int>S2C].phase == PHASE_WAIT
            and self.side[<int>C2S].opening.scan == HEAD_START and not preface_begun(&self.preface)
            and begins_frame(octet))


# Octets behind a head, before the handshake is settled.
cdef size_t feed_early(Connection *self, Direction direction, const uint8_t *data,
                       size_t size) noexcept nogil:
    cdef Side *side = &self.side[<int>direction]
    cdef size_t used = 0
    if not side.opening.early_missing:
        used = keep(&side.opening.early, data, size, self.limits.head_bytes)
    if used == size:
        if direction == C2S and self.side[<int>S2C].phase == PHASE_WAIT:
            settle(self, False)  # the response is lost
        return used
    if direction == S2C:
        # A server that says so much after its 101 has seen a request that was not seen here
        # (in what was taken for a body): better one direction than none.
        settle(self, True)
        if side.phase != PHASE_WAIT:
            return used
    side.opening.early_missing += size - used
    side.frames.undecoded += size - used
    return size


# --- bytes ---

cdef void feed(Connection *self, Direction direction, const uint8_t *data,
               size_t size) noexcept nogil:
    cdef Side *side = &self.side[<int>direction]
    cdef size_t used
    while size:
        if side.phase == PHASE_FRAMES:
            frames_feed(&side.frames, data, size)
            return
        if side.phase == PHASE_HEAD:
            if is_unasked(self, direction, data[0]):
                side.phase = PHASE_WAIT
                settle(self, False)
                continue
            if direction == C2S and self.preface.state != PREFACE_OVER:
                used = feed_preface(self, data, size)
            else:
                used = feed_head(self, direction, data, size)
        elif side.phase == PHASE_BODY:
            used = feed_body(self, direction, data, size)
        elif side.phase == PHASE_WAIT:
            used = feed_early(self, direction, data, size)
        else:
            return
        data += used
        size -= used


cdef void gap(Connection *self, Direction direction, uint64_t size) noexcept nogil:
    cdef Side *side = &self.side[<int>direction]
    if side.phase == PHASE_FRAMES:
        frames_gap(&side.frames, size)
    elif side.phase != PHASE_OVER:
        # Of a head that is cut here no more is known, nor where frames begin.
        side.opening.early_missing += size
        side.phase = PHASE_WAIT
        settle(self, False)


cdef void connection_feed(Connection *self, Direction direction, uint64_t position,
                          const uint8_t *data, size_t size) noexcept nogil:
    cdef Side *side = &self.side[<int>direction]
    cdef Piece piece
    if side.ended:
        return
    piece = stream_place(&side.stream, position, size)
    if piece.missing:
        gap(self, direction, piece.missing)
    if piece.skip < size:
        feed(self, direction, data + piece.skip, size - piece.skip)


cdef void connection_end(Connection *self, Direction direction, uint64_t end) noexcept nogil:
    cdef Side *side = &self.side[<int>direction]
    if side.ended:
        return
    if side.stream.begun and end > side.stream.next:
        gap(self, direction, end - side.stream.next)
    side.ended = True
    if side.phase == PHASE_FRAMES:
        frames_end(&side.frames)
    else:
        settle(self, False)


# --- what it costs, and what it missed ---

cdef size_t connection_memory(const Connection *self) noexcept nogil:
    cdef size_t total = sizeof(Connection)
    cdef const Opening *opening
    cdef int direction
    for direction in range(2):
        opening = self.side[direction].opening
        total += frames_memory(&self.side[direction].frames)
        if opening != NULL:
            total += (sizeof(Opening) + buffer_memory(&opening.head)
                      + buffer_memory(&opening.early))
    return total


cdef Losses connection_losses(const Connection *self) noexcept nogil:
    cdef Losses losses
    cdef int direction
    for direction in range(2):
        losses.undecoded_bytes[direction] = frames_undecoded(&self.side[direction].frames)
        losses.withheld_messages[direction] = (
            self.side[direction].frames.messages.withheld_messages)
    return losses


cdef void connection_free(Connection *self) noexcept nogil:
    cdef int direction
    if self == NULL:
        return
    release_openings(self)
    for direction in range(2):
        frames_close(&self.side[direction].frames)
    free(self)
