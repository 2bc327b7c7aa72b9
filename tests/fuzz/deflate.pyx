"""Any octets as the payloads of compressed messages.

What comes out of each is what plain zlib makes of the same octets, and a context that was broken
is not used again (RFC 7692 section 7.2).
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memset

from cursor cimport Cursor, cursor_chance, cursor_octet, cursor_seed, cursor_take
from journal cimport Journal, Told, fail, feed_piece, journal_open, journals_agree, mix_bytes
from sockwarden.parser.events cimport C2S, DIGEST_NONE, S2C, Deflate, Handler, Limits
from sockwarden.parser.frames cimport Frames, frames_close, frames_end, frames_open
from stream cimport Stream, stream_frame, stream_has_room

cdef extern from "zlib.h" nogil:
    ctypedef struct z_stream:
        int data_type
        const uint8_t *next_in
        unsigned int avail_in
        uint8_t *next_out
        unsigned int avail_out
    enum:
        Z_OK
        Z_STREAM_END
        Z_BUF_ERROR
        Z_SYNC_FLUSH
    int inflateInit2(z_stream *stream, int window_bits)
    int inflateEnd(z_stream *stream)
    int inflateReset(z_stream *stream)
    int inflateSetDictionary(z_stream *stream, const uint8_t *window, unsigned int size)
    int inflateResetKeep(z_stream *stream)
    int inflate(z_stream *stream, int flush)

cdef enum:
    MESSAGES = 16
    CLEAR_BYTES = 8 << 20  # 1,032 times the longest input, and some
    BINARY_FIN_RSV1 = 0xC2
    FIN = 0x80
    CONTINUATION_FIN = 0x80
    WIDEST = 15
    BETWEEN_BLOCKS = 0x80  # in z_stream.data_type

cdef const uint8_t *TAIL = [0x00, 0x00, 0xFF, 0xFF]  # section 7.2.2


# What zlib makes of the messages
cdef struct Reference:
    z_stream zlib
    bint takeover
    bint final
    Told told[MESSAGES]
    bint refused[MESSAGES]  # by zlib; another inflater may see it later
    size_t count
    bint unended[MESSAGES]  # inside a block: it may be refused later, or was too early
    bint doubtful           # something was refused

cdef uint8_t[CLEAR_BYTES] CLEAR
cdef uint8_t[1 << WIDEST] ZEROS
cdef Stream STREAM


cdef bint expand(Reference *self, const uint8_t *data, size_t size) noexcept nogil:
    cdef int result
    self.zlib.next_in = data
    self.zlib.avail_in = <unsigned int>size
    while True:
        result = inflate(&self.zlib, Z_SYNC_FLUSH)
        self.final = result == Z_STREAM_END
        if self.final:
            inflateResetKeep(&self.zlib)
        elif result not in (Z_OK, Z_BUF_ERROR):
            return False
        if not self.zlib.avail_in:
            return True


cdef bint inflates(Reference *self, const uint8_t *data, size_t size) noexcept nogil:
    self.zlib.next_out = CLEAR
    self.zlib.avail_out = CLEAR_BYTES
    return not size or expand(self, data, size) and (self.final or expand(self, TAIL, 4))


# Behind a message that zlib refuses it begins anew, with a window of zeros: what is told there
# must not depend on what was lost, and need not be told.
cdef void refer(Reference *self, const Limits *limits, uint64_t offset, const uint8_t *data,
                size_t size) noexcept nogil:
    cdef bint good
    cdef size_t made
    if not self.takeover:
        inflateReset(&self.zlib)
        self.doubtful = False
    good = inflates(self, data, size)
    made = CLEAR_BYTES - self.zlib.avail_out
    self.refused[self.count] = not good
    self.unended[self.count] = good and size and not self.zlib.data_type & BETWEEN_BLOCKS
    if not good or self.unended[self.count]:
        self.doubtful = True
    self.told[self.count] = Told(offset, made, 0, 0, not self.doubtful)
    self.told[self.count].content = mix_bytes(
        0, CLEAR, min(made, <size_t>limits.message_bytes))
    self.count += 1
    if not good:
        inflateReset(&self.zlib)
        inflateSetDictionary(&self.zlib, ZEROS, sizeof(ZEROS))


cdef void compose(Cursor *input, Reference *reference, const Limits *limits) noexcept nogil:
    cdef const uint8_t *payload = NULL
    cdef size_t size, first, messages = 0
    cdef uint64_t offset
    while input.size and messages < MESSAGES:
        size = cursor_octet(input)
        size = cursor_take(input, size << 3 if size & 1 else size >> 1, &payload)
        if not stream_has_room(&STREAM, size + 14):
            return
        offset = STREAM.size
        first = cursor_chance(input, 4)
        if first == 0:  # in two fragments
            first = size // 2
            stream_frame(&STREAM, BINARY_FIN_RSV1 ^ FIN, payload, first)
            stream_frame(&STREAM, CONTINUATION_FIN, payload + first, size - first)
        else:
            stream_frame(&STREAM, BINARY_FIN_RSV1, payload, size)
        refer(reference, limits, offset, payload, size)
        messages += 1


cdef void decode(Cursor input, const Deflate *deflate, const Limits *limits, bint cut,
                 Journal *journal) noexcept nogil:
    cdef Handler handler = journal_open(journal, limits.message_bytes)
    cdef Frames frames
    cdef size_t at = 0, some
    frames_open(&frames, C2S if STREAM.masked else S2C, deflate, limits, &handler)
    while at < STREAM.size:
        some = STREAM.size - at
        if cut:
            some = min(some, <size_t>1 + cursor_chance(&input, 1 << cursor_chance(&input, 10)))
        feed_piece(&frames, journal, STREAM.data + at, some)
        at += some
    frames_end(&frames)
    frames_close(&frames)


cdef void compare(const Journal *journal, const Reference *reference) noexcept nogil:
    cdef const Told *expected
    cdef const Told *message = journal.messages
    cdef const Told *end = message + journal.message_count
    cdef size_t at
    for at in range(reference.count):
        expected = &reference.told[at]
        if message == end or message.offset != expected.offset:
            if expected.complete:
                fail("a message is missing that zlib inflates")
            if reference.takeover and reference.unended[at]:
                return  # the contexts are not the same any more
            continue
        if reference.refused[at]:
            if message.length > expected.length:
                fail("more is told than zlib made before it refused")
            if reference.takeover:
                return
        elif message.length != expected.length or message.content != expected.content:
            fail("a message is not what zlib makes of it")
        message += 1
    if message != end:
        fail("a message is told that zlib does not inflate")


cdef api int run(const uint8_t *data, size_t size) noexcept nogil:
    cdef Cursor input = Cursor(data, size, 0)
    cdef uint8_t how = cursor_octet(&input)
    cdef Deflate deflate = Deflate(True, how & 1, 8 + (how >> 1 & 7))
    cdef Limits limits
    cdef Reference reference
    cdef Journal whole, pieces
    memset(&reference, 0, sizeof(Reference))
    memset(&limits, 0, sizeof(Limits))
    limits.message_bytes = 1 << (how >> 5 << 2) if how >> 5 else 1 << 30
    limits.inflated_bytes = CLEAR_BYTES
    limits.digest = DIGEST_NONE
    cursor_seed(&input)
    STREAM.size = 0
    STREAM.masked = how >> 4 & 1
    reference.takeover = not deflate.no_context_takeover
    if inflateInit2(&reference.zlib, -WIDEST):
        return 0
    compose(&input, &reference, &limits)
    inflateEnd(&reference.zlib)
    decode(input, &deflate, &limits, False, &whole)
    if deflate.window_bits == WIDEST:  # zlib would refuse less than it does with a smaller one
        compare(&whole, &reference)
    decode(input, &deflate, &limits, True, &pieces)
    journals_agree(&whole, &pieces, "a cut stream tells something else")
    return 0
