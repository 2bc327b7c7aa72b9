"""Streams with holes, and streams from the middle.

Two kinds of input.  Any octets, with holes: however the rest is cut, the same is told.  Or frames
that a peer might send, of which some octets are lost: each message that is told behind the hole is
one that was sent, whole and at its place.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memset

from cursor cimport Cursor, cursor_chance, cursor_octet, cursor_seed, cursor_take
from journal cimport Journal, Told, fail, feed_piece, journal_open, journals_agree
from sockwarden.parser.events cimport DIGEST_NONE, Deflate, Direction, Handler, Limits
from sockwarden.parser.frames cimport (
    Frames, frames_close, frames_end, frames_gap, frames_midstream, frames_open)
from stream cimport Stream, stream_frame, stream_has_room

cdef enum:
    FRAMES = 60         # fewer than a journal keeps
    HOLES = 3
    TEXT_BYTES = 512    # of a payload
    FIN = 0x80
    PING = 0x89
    TEXT = 0x81
    BINARY = 0x82


cdef struct Hole:
    size_t start
    size_t end

cdef Stream STREAM
cdef Hole HOLES_AT[HOLES]


# Something like text: what is sent must not itself look like frames.
cdef void compose(Cursor *input) noexcept nogil:
    cdef uint8_t text[TEXT_BYTES]
    cdef size_t size, at
    cdef uint8_t kind
    cdef int _
    for _ in range(FRAMES):
        if not input.size:
            return
        kind = cursor_octet(input)
        size = cursor_chance(input, TEXT_BYTES if kind & 1 else 60)
        for at in range(size):
            text[at] = 0x20 + (cursor_octet(input) if input.size else cursor_chance(input, 95)) % 95
        if not stream_has_room(&STREAM, size + 28):
            return
        STREAM.key = STREAM.key * 0x01000193 ^ cursor_chance(input, 1 << 31)
        if kind % 16 == 15:
            stream_frame(&STREAM, PING, text, min(size, <size_t>20))
        elif kind % 16 == 14:  # two fragments
            stream_frame(&STREAM, TEXT ^ FIN, text, size // 2)
            stream_frame(&STREAM, FIN, text + size // 2, size - size // 2)
        else:
            stream_frame(&STREAM, TEXT if kind & 2 else BINARY, text, size)


# Ordered, and apart.
cdef int choose_holes(Cursor *input) noexcept nogil:
    cdef int count = cursor_chance(input, HOLES + 1), at
    cdef size_t start = 0
    for at in range(count):
        start += cursor_chance(input, <uint32_t>(STREAM.size // count) + 1)
        HOLES_AT[at].start = min(start, STREAM.size)
        start += 1 + cursor_chance(input, 1 << cursor_chance(input, 11))
        HOLES_AT[at].end = min(start, STREAM.size)
        start += 1
    return count


cdef void decode(Cursor chances, Direction direction, const Deflate *deflate, int holes,
                 bint midstream, bint cut, Journal *journal) noexcept nogil:
    cdef Limits limits
    cdef Handler handler
    cdef Frames frames
    cdef size_t at = 0, end, some
    cdef int hole = 0
    cdef uint32_t most
    memset(&limits, 0, sizeof(Limits))
    limits.message_bytes = limits.inflated_bytes = 1 << 20
    limits.digest = DIGEST_NONE
    handler = journal_open(journal, limits.message_bytes)
    frames_open(&frames, direction, deflate, &limits, &handler)
    if midstream:
        frames_midstream(&frames)
    while True:
        end = HOLES_AT[hole].start if hole < holes else STREAM.size
        while at < end:
            some = end - at
            if cut:
                most = 1 << cursor_chance(&chances, 10)
                some = min(some, <size_t>1 + cursor_chance(&chances, most))
            feed_piece(&frames, journal, STREAM.data + at, some)
            at += some
        if hole == holes:
            break
        some = HOLES_AT[hole].end - at
        journal.fed += some
        frames_gap(&frames, some)
        at += some
        hole += 1
    frames_end(&frames)
    frames_close(&frames)


cdef void compare(const Journal *sent, const Journal *told) noexcept nogil:
    cdef size_t at = 0, found
    cdef const Told *message
    for found in range(told.message_count):
        message = &told.messages[found]
        while at < sent.message_count and sent.messages[at].offset < message.offset:
            at += 1
        if at == sent.message_count or sent.messages[at].offset != message.offset:
            if message.complete:
                fail("a message is told that nobody sent")
        elif message.length != sent.messages[at].length:
            fail("a message is told with another length than it was sent with")
        elif message.complete and message.content != sent.messages[at].content:
            fail("a message is told with other octets than it was sent with")


cdef api int run(const uint8_t *data, size_t size) noexcept nogil:
    cdef Cursor input = Cursor(data, size, 0)
    cdef uint8_t how = cursor_octet(&input)
    cdef bint valid = how & 1
    cdef bint midstream = how >> 4 & 1
    cdef Direction direction = <Direction>(how >> 1 & 1)
    cdef Deflate deflate = Deflate(how >> 2 & 1, how >> 3 & 1, 15 if how >> 2 & 1 else 0)
    cdef const uint8_t *octets = NULL
    cdef Journal sent, whole, pieces
    cdef int holes
    cursor_seed(&input)
    STREAM.size = 0
    STREAM.masked = direction == 0
    STREAM.key = input.state
    if valid:
        compose(&input)
    else:
        STREAM.size = cursor_take(&input, input.size, &octets)
        for holes in range(<int>STREAM.size):
            STREAM.data[holes] = octets[holes]
    holes = choose_holes(&input)
    decode(input, direction, &deflate, holes, midstream, False, &whole)
    decode(input, direction, &deflate, holes, midstream, True, &pieces)
    journals_agree(&whole, &pieces, "a cut stream tells something else")
    if valid:
        decode(input, direction, &deflate, 0, False, False, &sent)
        compare(&sent, &whole)
    return 0
