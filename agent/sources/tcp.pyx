"""TCP segments of many connections, put in order.

Promises: each octet is delivered once and in its stream's order; of octets that came twice the
first ones count (differing ones are counted); the two directions are in causal order, so that
a segment follows what its sender had acknowledged.  Octets that were never captured become a
hole of exact size and place, as soon as the other side acknowledged them and the capture had
PATIENCE to bring them late, or when what waits behind them fills its bounds, or at the end.
Where a stream begins its SYN tells, however late that comes; without one, the first octet of
what the capture brings in that time.

Memory is bounded: connections, octets held of one direction, octets held in all.  What is evicted
is delivered first, with its holes.
"""

import secrets

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy

from sockwarden.agent.sources.gate cimport AWAITED, IGNORED, NONE, Gate
from sockwarden.agent.sources.gate cimport OPEN as GATE_OPEN
from sockwarden.agent.sources.packets cimport (
    TCP_ACK,
    TCP_FIN,
    TCP_RST,
    TCP_SYN,
    Endpoint,
    Segment,
)

cdef enum:
    CONNECTIONS = 65_536
    BUCKETS = 65_536                     # a power of two
    HELD_SEGMENTS = 2_048                # of one direction
    HELD_BYTES = 4 * 1024 * 1024         # of one direction
    ALL_HELD_BYTES = 256 * 1024 * 1024
    WINDOW_BYTES = 1 << 30               # RFC 7323 2.2: no window is larger
    # How late a capture may bring a packet, in packets of its connection.
    PATIENCE_PACKETS = 128
    # Numbers that are further from what was captured are not believed.
    BELIEVED_BYTES = 64 * 1024 * 1024

# Of the first octet that is heard of; what comes late stands before it.
cdef uint64_t FIRST_POSITION = 1 << 32


cdef inline uint64_t mix(uint64_t seed, const Endpoint *end) noexcept nogil:
    cdef uint64_t words[2]
    cdef uint64_t value = seed ^ end.port
    memcpy(words, end.address, sizeof(words))
    value = (value ^ words[0]) * <uint64_t>0x9E3779B97F4A7C15
    value = ((value ^ value >> 32) ^ words[1]) * <uint64_t>0xD6E8FEB86659FD93
    return value ^ value >> 32


cdef inline bint same(const Endpoint *a, const Endpoint *b) noexcept nogil:
    return a.port == b.port and memcmp(a.address, b.address, 16) == 0


cdef inline int64_t unwrap(const Half *half, uint64_t near, uint32_t sequence) noexcept nogil:
    """The position near `near` of a sequence number, which counts modulo 2**32 (RFC 9293 3.4)."""
    return <int64_t>near + <int32_t>(sequence - <uint32_t>(half.base + near))


cdef inline bint is_near(int64_t position, uint64_t other) noexcept nogil:
    return -BELIEVED_BYTES <= position - <int64_t>other <= BELIEVED_BYTES


cdef inline bint reached(const Half *half, uint64_t position) noexcept nogil:
    # A FIN takes one sequence number.
    return position <= half.next or (half.ended and half.next >= half.end)


cdef inline bint is_syn(const Segment *segment) noexcept nogil:
    # Added to a sequence number it is what RFC 9293 3.4 says: a SYN takes one.
    return segment.flags & TCP_SYN != 0


cdef inline bint holds(const Connection *c) noexcept nogil:
    return c.half[0].first != NULL or c.half[1].first != NULL


cdef inline bint is_whole(const Half *half) noexcept nogil:
    return half.anchored and half.ended and half.next >= half.end


cdef inline bint is_over(const Connection *c) noexcept nogil:
    return not holds(c) and is_whole(&c.half[0]) and is_whole(&c.half[1])


cdef inline const uint8_t *octets(const Held *held) noexcept nogil:
    return <const uint8_t *>(held + 1)


cdef class Reassembler:
    def __cinit__(self, Gate gate not None):
        self.gate = gate
        self._seed = secrets.randbits(64)  # a capture cannot choose its buckets
        self._buckets = <Connection **>calloc(BUCKETS, sizeof(Connection *))
        if self._buckets == NULL:
            raise MemoryError

    def __dealloc__(self):
        cdef Connection *c
        cdef int side
        for side in range(2):
            while self._uses[side].oldest != NULL:
                c = self._uses[side].oldest
                self._uses[side].oldest = c.newer
                discard(c)
                free(c.exchange.framer[0].head)
                free(c.exchange.framer[1].head)
                free(c.exchange.stash)
                free(c)
        free(self._buckets)

    cdef int segment(self, const Segment *segment, uint64_t time_ns) except -1:
        cdef int direction = 0
        cdef Connection *c
        cdef int64_t position, end
        cdef Held piece
        cdef Half *half
        self._now_ns = time_ns
        c = self._of(segment, &direction)
        if c == NULL:
            return 0
        self._touch(c)
        if c.closed or c.exchange.stage == IGNORED:
            return 0
        c.packets += 1
        half = &c.half[direction]
        piece.needs = take_numbers(c, direction, segment)
        position = unwrap(half, half.next, segment.sequence + is_syn(segment))
        end = position + segment.length
        if segment.length and end > <int64_t>half.next and not (
                c.reset and position >= <int64_t>half.end):
            place_payload(&piece, segment, position)
            piece.packet = c.packets
            piece.time_ns = time_ns
            half.seen = max(half.seen, <uint64_t>end)
            self._payload(c, direction, piece, segment.data + (segment.captured - piece.size))
        if segment.flags & (TCP_FIN | TCP_RST) and 0 <= end - <int64_t>half.next <= WINDOW_BYTES:
            finish_half(half, end)
            if segment.flags & TCP_RST:
                c.reset = True
                half = &c.half[1 - direction]
                finish_half(half, max(half.next, half.seen, half.acked))
        if holds(c):
            self._advance(c)
            self._give_up(c)
        if is_over(c):
            return self._close(c)
        return 0

    cpdef int finish(self) except -1:
        """The capture is over: everything held is delivered, every connection ended."""
        cdef int side
        for side in range(2):
            while self._uses[1 - side].oldest != NULL:
                self._remove(self._uses[1 - side].oldest)
        return 0

    cdef Connection *_of(self, const Segment *segment, int *direction) except? NULL:
        """The segment's connection, a new one if need be; NULL: none to begin with it."""
        cdef uint64_t hash = (mix(self._seed, &segment.source)
                              + mix(self._seed, &segment.destination))
        cdef Connection *c = self._find(segment, hash, direction)
        cdef Half *half
        if c != NULL:
            half = &c.half[direction[0]]
            if not is_syn(segment) or not (c.closed or (
                    not segment.flags & TCP_ACK and half.sent
                    and not begins_with(c, half, segment.sequence))):
                return c
            self._remove(c)  # the ports are used again
        direction[0] = 0
        if segment.flags & TCP_RST:
            return NULL
        return self._create(segment, hash)

    # Order

    cdef int _payload(self, Connection *c, int direction, Held piece,
                      const uint8_t *data) except -1:
        cdef Half *half = &c.half[direction]
        if half.anchored and half.first == NULL and piece.position <= half.next and (
                reached(&c.half[1 - direction], piece.needs)):
            return self._deliver(c, direction, &piece, data)
        if piece.position > half.next + WINDOW_BYTES:
            self.gate.batch.count("segments_out_of_window")
            return 0
        while half.segments >= HELD_SEGMENTS or half.bytes + piece.size > HELD_BYTES:
            self._force(c)
        self._make_room(c)
        return self._hold(c, direction, piece, data)

    cdef int _deliver(self, Connection *c, int direction, const Held *piece,
                      const uint8_t *data) except -1:
        cdef Half *half = &c.half[direction]
        cdef uint64_t end = piece.position + piece.length
        cdef uint64_t old, hole, size = piece.size
        cdef bint counts = c.exchange.attempt == GATE_OPEN or c.exchange.attempt == AWAITED
        if end <= half.next:
            return 0
        if piece.position > half.next:
            hole = piece.position - half.next
            half.next = piece.position
            self.gate.hole(&c.exchange, direction, piece.time_ns, hole)
            if counts:
                self.gate.batch.count("bytes_not_captured", hole)
        old = min(half.next - piece.position, size)
        half.next += size - old
        if size > old:
            self.gate.bytes(&c.exchange, direction, piece.time_ns, data + old, size - old)
        if end > half.next:
            hole = end - half.next
            half.next = end
            self.gate.hole(&c.exchange, direction, piece.time_ns, hole)
            if counts:
                self.gate.batch.count("bytes_beyond_snapshot", hole)
        return 0

    cdef int _hold(self, Connection *c, int direction, Held piece, const uint8_t *data) except -1:
        """Puts the octets in their places; of those that are there already the older ones stay."""
        cdef Half *half = &c.half[direction]
        cdef Held *before = NULL
        cdef Held *behind = half.first
        cdef Held part
        cdef uint64_t size
        if half.last != NULL and half.last.position + half.last.size <= piece.position:
            before, behind = half.last, NULL
        while True:
            while behind != NULL and behind.position + behind.size <= piece.position:
                before, behind = behind, behind.next
            if behind == NULL or piece.position + piece.size <= behind.position:
                self._insert(half, before, &piece, data)
                return 0
            if piece.position < behind.position:
                part = piece
                part.size = part.length = <uint32_t>(behind.position - piece.position)
                before = self._insert(half, before, &part, data)
                size = part.size
            else:
                size = min(piece.size, behind.position + behind.size - piece.position)
                if memcmp(octets(behind) + (piece.position - behind.position), data, size):
                    self.gate.batch.count("overlaps_that_differ")
            piece.position += size
            piece.size -= <uint32_t>size
            piece.length -= <uint32_t>size
            data += size
            if piece.size == 0:
                return 0

    cdef Held *_insert(self, Half *half, Held *before, const Held *piece,
                       const uint8_t *data) except NULL:
        cdef Held *held = <Held *>malloc(sizeof(Held) + piece.size)
        if held == NULL:
            raise MemoryError
        held[0] = piece[0]
        memcpy(held + 1, data, piece.size)
        if before == NULL:
            held.next = half.first
            half.first = held
        else:
            held.next = before.next
            before.next = held
        if held.next == NULL:
            half.last = held
        half.segments += 1
        half.bytes += sizeof(Held) + piece.size
        self._held += sizeof(Held) + piece.size
        return held

    cdef int _pop(self, Connection *c, int direction) except -1:
        cdef Half *half = &c.half[direction]
        cdef Held *held = half.first
        half.first = held.next
        if half.first == NULL:
            half.last = NULL
        half.segments -= 1
        half.bytes -= sizeof(Held) + held.size
        self._held -= sizeof(Held) + held.size
        try:
            self._settle(c, 1 - direction, held.needs)
            return self._deliver(c, direction, held, octets(held))
        finally:
            free(held)

    cdef int _settle(self, Connection *c, int direction, uint64_t position) except -1:
        """What is to be delivered was sent by one who had this direction up to here: octets that
        the capture does not bring become a hole first."""
        cdef Half *half = &c.half[direction]
        cdef Held nothing
        while half.anchored and half.first != NULL and half.first.position < position:
            self._pop(c, direction)
        if half.ended:
            position = min(position, half.end)
        # A number alone is not believed where the octets that came contradict it, and one octet
        # may be a FIN that was not captured.
        if half.anchored and position > half.next + 1 and (half.first != NULL or not half.seen):
            nothing.position = position
            nothing.length = nothing.size = 0
            nothing.time_ns = self._now_ns
            return self._deliver(c, direction, &nothing, NULL)
        return 0

    cdef int _advance(self, Connection *c) except -1:
        """Delivers what no longer waits for anything."""
        cdef int direction
        cdef bint moved = True
        cdef Half *half
        while moved:
            moved = False
            for direction in range(2):
                half = &c.half[direction]
                while half.anchored and half.first != NULL and (
                        half.first.position <= half.next
                        and reached(&c.half[1 - direction], half.first.needs)):
                    self._pop(c, direction)
                    moved = True
        return 0

    cdef int _force(self, Connection *c) except -1:
        """Delivers the oldest that is held, behind a hole, and what waited for it."""
        cdef int direction
        if holds(c):
            direction = oldest(c.half[0].first, c.half[1].first)
            anchor(&c.half[direction])
            self._pop(c, direction)
        return self._advance(c)

    cdef int _give_up(self, Connection *c) except -1:
        """Holes whose octets the other side has, but the capture does not bring."""
        cdef int direction
        cdef Half *half
        cdef Held *held
        for direction in range(2):
            half = &c.half[direction]
            while True:
                held = half.first
                if held == NULL or c.packets - half.met < PATIENCE_PACKETS:
                    break
                if half.anchored:
                    if held.position > half.next and half.acked < held.position or (
                            c.packets - held.packet < PATIENCE_PACKETS):
                        break
                    self._pop(c, direction)
                anchor(half)
                self._advance(c)
        return 0

    cdef int _close(self, Connection *c) except -1:
        cdef uint64_t missing[2]
        cdef int direction
        cdef Half *half
        if c.closed:
            return 0
        while holds(c):
            self._force(c)
        for direction in range(2):
            half = &c.half[direction]
            missing[direction] = 0
            if half.ended:
                if half.end > half.next:
                    missing[direction] = half.end - half.next
            elif half.acked > half.next + 1:  # one more: of a FIN that was not captured
                missing[direction] = half.acked - half.next
            if missing[direction] and c.exchange.attempt == GATE_OPEN:
                self.gate.batch.count("bytes_not_captured", missing[direction])
        c.closed = True
        self.gate.close(&c.exchange, self._now_ns, missing)
        self._touch(c)
        return 0

    # The table

    cdef Connection *_find(self, const Segment *segment, uint64_t hash,
                           int *direction) noexcept:
        cdef Connection *c = self._buckets[hash & (BUCKETS - 1)]
        while c != NULL:
            if c.hash == hash and c.exchange.family == segment.family:
                if same(&c.exchange.end[0], &segment.source) and (
                        same(&c.exchange.end[1], &segment.destination)):
                    direction[0] = 0
                    return c
                if same(&c.exchange.end[1], &segment.source) and (
                        same(&c.exchange.end[0], &segment.destination)):
                    direction[0] = 1
                    return c
            c = c.chain
        return NULL

    cdef Connection *_create(self, const Segment *segment, uint64_t hash) except NULL:
        cdef Connection *c
        cdef size_t bucket = hash & (BUCKETS - 1)
        self._make_room(NULL)
        c = <Connection *>calloc(1, sizeof(Connection))
        if c == NULL:
            raise MemoryError
        c.exchange.end = [segment.source, segment.destination]
        c.exchange.family = segment.family
        c.hash = hash
        c.chain = self._buckets[bucket]
        self._buckets[bucket] = c
        self._count += 1
        link(&self._uses[0], c)
        return c

    cdef int _remove(self, Connection *c) except -1:
        cdef Connection **place = &self._buckets[c.hash & (BUCKETS - 1)]
        self._close(c)
        while place[0] != c:
            place = &place[0].chain
        place[0] = c.chain
        unlink(&self._uses[c.watched], c)
        self._count -= 1
        free(c)
        return 0

    cdef int _make_room(self, const Connection *keep) except -1:
        cdef Connection *victim
        while self._count >= CONNECTIONS or self._held + self.gate.held > ALL_HELD_BYTES:
            victim = self._uses[0].oldest
            if victim == NULL or victim == keep:  # `keep` is the newest of its list
                victim = self._uses[1].oldest
            if victim == NULL or victim == keep:
                return 0
            if not victim.closed and victim.exchange.stage != IGNORED:
                self.gate.batch.count("connections_evicted")
            self._remove(victim)
        return 0

    cdef void _touch(self, Connection *c) noexcept:
        cdef bint watched = c.exchange.attempt != NONE
        if watched == c.watched and self._uses[watched].newest == c:
            return
        unlink(&self._uses[c.watched], c)
        c.watched = watched
        link(&self._uses[watched], c)


cdef uint64_t take_numbers(Connection *c, int direction, const Segment *segment) noexcept nogil:
    """What the segment says of both directions' numbers; returns the position it acknowledges."""
    cdef Half *half = &c.half[direction]
    cdef Half *other = &c.half[1 - direction]
    # Tools that write packets by hand set the flag without a number.
    cdef bint syn = is_syn(segment)
    cdef bint ack = segment.flags & TCP_ACK and segment.acknowledgement
    if syn and not c.exchange.client_known:
        c.exchange.client = 1 - direction if ack else direction
        c.exchange.client_known = True
    take_sequence(half, segment.sequence + syn, c.packets)
    if syn and not half.syn:
        half.syn = True
        half.start = segment.sequence
        anchor_at(half, segment.sequence + 1)
    if not ack:
        return 0
    return take_acknowledgement(other, segment.acknowledgement, syn)


cdef void take_sequence(Half *half, uint32_t first, uint64_t packet) noexcept nogil:
    """`first`: the number of the segment's first octet."""
    cdef int64_t position = unwrap(half, half.next, first)
    if not half.sent:
        half.sent = True
        half.met = packet
        # What was acknowledged before is a guess.
        if not half.numbered or not is_near(position, half.next):
            half.numbered = True
            half.base = first - <uint32_t>FIRST_POSITION
            half.next = FIRST_POSITION
            half.acked = 0
            return
    if not half.anchored and 0 <= position < <int64_t>half.next:
        half.next = position


cdef uint64_t take_acknowledgement(Half *half, uint32_t number, bint of_syn) noexcept nogil:
    """What the other side has of this one.  With its SYN it says where this one begins."""
    cdef uint64_t latest
    cdef int64_t position
    if not half.numbered:
        half.numbered = True
        half.base = number - <uint32_t>FIRST_POSITION
        half.next = FIRST_POSITION
    latest = max(half.next, half.seen, half.acked)
    position = unwrap(half, latest, number)
    if position < 0 or position > <int64_t>latest + BELIEVED_BYTES:
        return 0
    if of_syn and not half.syn and is_near(position, half.next):
        anchor_at(half, number)
    half.acked = max(half.acked, <uint64_t>position)
    return position


cdef inline void anchor_at(Half *half, uint32_t number) noexcept nogil:
    if not half.anchored:
        half.anchored = True
        half.next = <uint64_t>max(unwrap(half, half.next, number), 0)


cdef inline void anchor(Half *half) noexcept nogil:
    """Nothing tells where the stream begins: at the first octet that is there."""
    if not half.anchored and half.first != NULL:
        half.next = half.first.position
    half.anchored = True


cdef bint begins_with(const Connection *c, const Half *half, uint32_t syn) noexcept nogil:
    """Whether a SYN is this connection's own, seen before or captured late."""
    if half.syn:
        return syn == half.start
    # A keep-alive has the number before.
    return (c.packets < PATIENCE_PACKETS
            and -1 <= <int64_t>half.next - unwrap(half, half.next, syn + 1) <= BELIEVED_BYTES)


cdef inline void finish_half(Half *half, uint64_t end) noexcept nogil:
    if not half.ended:
        half.ended = True
        half.end = end


cdef int oldest(const Held *a, const Held *b) noexcept nogil:
    """0 or 1: what was sent first, or came first."""
    if a == NULL or b == NULL:
        return a == NULL
    if a.needs > b.position or b.needs > a.position:
        return a.needs > b.position
    return b.packet < a.packet


cdef void place_payload(Held *piece, const Segment *segment, int64_t position) noexcept nogil:
    """The payload's place, without what lies before position 0."""
    cdef uint32_t early = <uint32_t>(-position) if position < 0 else 0
    piece.next = NULL
    piece.position = position + early
    piece.length = segment.length - early
    piece.size = segment.captured - early if segment.captured > early else 0


cdef void discard(Connection *c) noexcept nogil:
    cdef Held *held
    cdef int direction
    for direction in range(2):
        while c.half[direction].first != NULL:
            held = c.half[direction].first
            c.half[direction].first = held.next
            free(held)


cdef void link(Uses *uses, Connection *c) noexcept nogil:
    c.newer = NULL
    c.older = uses.newest
    if uses.newest != NULL:
        uses.newest.newer = c
    else:
        uses.oldest = c
    uses.newest = c


cdef void unlink(Uses *uses, Connection *c) noexcept nogil:
    if c.newer != NULL:
        c.newer.older = c.older
    else:
        uses.newest = c.older
    if c.older != NULL:
        c.older.newer = c.newer
    else:
        uses.oldest = c.newer
