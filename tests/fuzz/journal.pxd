"""What a parser told, as numbers: two ways through the same bytes must give the same.

One for each direction and one for the handshakes: which direction is told first depends on which
one waits for the other.

With FUZZ_SHOW set each event is printed too, so that a finding can be read.  What can be said
of any event by itself is checked as it comes.
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort, free, getenv, malloc
from libc.string cimport memcpy, memset

from sockwarden.parser.events cimport (
    ANOMALY_COUNT, CLOSE, CONTINUATION, INFLATE_ERROR, INVALID_UTF8, PONG, Anomaly,
    ControlEvent, Direction, Handler, HandshakeEvent, MessageEvent)
from sockwarden.parser.frames cimport Frames, frames_feed, frames_memory

cdef enum:
    HANDSHAKES = 2
    MESSAGES_KEPT = 64
    SPARE_BYTES = 4 << 20     # of workspace.pyx: what a message may be lent
    CONTEXT_BYTES = 64 << 10  # of the inflater and of a digest


# Of a message, to be found again
cdef struct Told:
    uint64_t offset
    uint64_t length
    uint64_t content  # mix_bytes of what was kept
    uint64_t hash     # of all that was told of it
    bint complete


cdef struct Journal:
    uint64_t hash[3]         # by Direction, then HANDSHAKES
    uint64_t events
    uint64_t texts           # of anomalies of bad text, apart: see journals_agree
    bint refused             # a message could not be inflated
    uint64_t fed             # octets, missing ones included: what no event goes beyond
    uint64_t message_bytes   # Limits.message_bytes
    uint64_t message_end[2]  # by Direction: the next message begins here at the earliest
    uint64_t control_end[2]
    Told messages[MESSAGES_KEPT]
    size_t message_count
    bint show


cdef inline void fail(const char *what) noexcept nogil:
    fprintf(stderr, "invariant broken: %s\n", what)
    abort()


cdef inline uint64_t mix(uint64_t hash, uint64_t value) noexcept nogil:
    hash = (hash ^ value) * <uint64_t>0x9E3779B97F4A7C15
    return hash ^ hash >> 29


cdef inline uint64_t mix_bytes(uint64_t hash, const uint8_t *data, size_t size) noexcept nogil:
    cdef uint64_t word
    hash = mix(hash, size)
    while size >= 8:
        memcpy(&word, data, 8)
        hash = mix(hash, word)
        data += 8
        size -= 8
    word = 0
    if size:
        memcpy(&word, data, size)
    return mix(hash, word)


cdef inline void journal_message(void *user, Direction direction,
                                 const MessageEvent *event) noexcept nogil:
    cdef Journal *self = <Journal *>user
    cdef uint64_t content = mix_bytes(0, event.payload, event.size)
    cdef uint64_t hash = mix(mix(event.opcode | direction << 8, event.length), content)
    if self.show:
        fprintf(stderr, "%d message opcode %d at %llu length %llu wire %llu kept %zu%s\n",
                <int>direction, <int>event.opcode, <unsigned long long>event.offset,
                <unsigned long long>event.length, <unsigned long long>event.wire_length,
                event.size, b"" if event.complete else b" incomplete")
    if event.size > event.length or event.size > self.message_bytes:
        fail("more octets than the message has, or than the limit allows")
    if not event.compressed and event.length != event.wire_length:
        fail("a message that is not compressed has another length than its frames")
    if (event.offset + event.wire_length > self.fed
            or event.offset < self.message_end[<int>direction]):
        fail("a message that lies where no octets were")
    if not event.fragments or event.opcode > CONTINUATION + 2:
        fail("no message is like that")
    self.message_end[<int>direction] = event.offset + 2
    if event.sha256 != NULL:
        hash = mix_bytes(hash, event.sha256, 32)
    hash = mix(hash, event.wire_length)
    hash = mix(hash, event.fragments << 8 | event.compressed << 3 | event.after_close << 2
               | event.valid_utf8 << 1 | event.complete)
    if self.message_count < MESSAGES_KEPT:
        self.messages[self.message_count] = Told(
            event.offset, event.length, content, hash, event.complete)
        self.message_count += 1
    self.hash[<int>direction] = mix(mix(self.hash[<int>direction], hash), event.offset)
    self.events += 1


cdef inline void journal_control(void *user, Direction direction,
                                 const ControlEvent *event) noexcept nogil:
    cdef Journal *self = <Journal *>user
    cdef uint64_t hash
    if self.show:
        fprintf(stderr, "%d control opcode %d at %llu length %llu\n", <int>direction,
                <int>event.opcode, <unsigned long long>event.offset,
                <unsigned long long>event.length)
    if event.size > 125 or event.size > event.length or not CLOSE <= event.opcode <= PONG:
        fail("no control frame is like that")
    if event.offset + event.length > self.fed or event.offset < self.control_end[<int>direction]:
        fail("a control frame that lies where no octets were")
    self.control_end[<int>direction] = event.offset + 2 + event.length
    hash = mix(mix(self.hash[<int>direction], event.opcode), event.length)
    hash = mix(mix(hash, event.offset),
               event.code << 2 | event.has_code << 1 | event.after_close)
    self.hash[<int>direction] = mix_bytes(hash, event.payload, event.size)
    self.events += 1


cdef inline void journal_anomaly(void *user, Direction direction, Anomaly kind,
                                 uint64_t offset) noexcept nogil:
    cdef Journal *self = <Journal *>user
    if self.show:
        fprintf(stderr, "%d anomaly %d at %llu\n", <int>direction, <int>kind,
                <unsigned long long>offset)
    if kind >= ANOMALY_COUNT or offset > self.fed:
        fail("an anomaly of no kind, or where no octets were")
    if kind == INVALID_UTF8:
        self.texts += mix(direction, offset)
        return
    self.refused |= kind == INFLATE_ERROR
    self.hash[<int>direction] = mix(self.hash[<int>direction], mix(kind, offset))
    self.events += 1


cdef inline void journal_request(void *user, const uint8_t *head, size_t size) noexcept nogil:
    cdef Journal *self = <Journal *>user
    self.hash[<int>HANDSHAKES] = mix_bytes(self.hash[<int>HANDSHAKES], head, size)
    self.events += 1


cdef inline void journal_handshake(void *user, const HandshakeEvent *event) noexcept nogil:
    cdef Journal *self = <Journal *>user
    cdef uint64_t hash
    cdef int direction
    if self.show:
        fprintf(stderr, "handshake status %d, heads of %zu and %zu octets\n", <int>event.status,
                event.request_size, event.response_size)
    hash = mix_bytes(self.hash[<int>HANDSHAKES], event.request, event.request_size)
    hash = mix_bytes(hash, event.response, event.response_size)
    hash = mix(hash, event.status << 1 | event.upgraded)
    for direction in range(2):
        hash = mix(hash, event.deflate[direction].enabled << 8
                   | event.deflate[direction].no_context_takeover << 9
                   | event.deflate[direction].window_bits)
    self.hash[<int>HANDSHAKES] = hash
    self.events += 1


cdef inline Handler journal_open(Journal *self, uint64_t message_bytes) noexcept nogil:
    memset(self, 0, sizeof(Journal))
    self.message_bytes = message_bytes
    self.show = getenv("FUZZ_SHOW") != NULL
    return Handler(self, journal_request, journal_handshake, journal_message, journal_control,
                   journal_anomaly)


# How many octets come out of bad deflate data before it is refused depends on the cut; so does
# whether bad text among them is seen.
cdef inline void journals_agree(const Journal *one, const Journal *other,
                                const char *what) noexcept nogil:
    cdef int which
    for which in range(3):
        if one.hash[which] != other.hash[which]:
            fail(what)
    if one.events != other.events:
        fail(what)
    if one.texts != other.texts and not one.refused:
        fail(what)


# Feeds a piece that lies alone in memory, so that no octet beside it can be read.
cdef inline void feed_piece(Frames *frames, Journal *journal, const uint8_t *data,
                            size_t size) noexcept nogil:
    cdef uint8_t *alone = <uint8_t *>malloc(size)
    memcpy(alone, data, size)
    journal.fed += size
    frames_feed(frames, alone, size)
    free(alone)
    if frames.offset != journal.fed:
        fail("the offset is not the number of octets fed")
    if frames_memory(frames) > SPARE_BYTES + journal.message_bytes + CONTEXT_BYTES:
        fail("more memory than the bound")
