"""Any octets as one direction's frames.

The first two octets choose direction, extension and limits, the next two how the stream is cut;
the others are the stream.  However it is cut, the same is told; offsets and lengths agree with
what was fed; memory stays in its bounds.
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memset

from cursor cimport Cursor, cursor_chance, cursor_octet, cursor_seed
from journal cimport Journal, feed_piece, journal_open, journals_agree
from sockwarden.parser.events cimport Deflate, Direction, Handler, Limits
from sockwarden.parser.frames cimport Frames, frames_close, frames_end, frames_open

cdef Deflate deflate_of(uint8_t choice) noexcept nogil:
    return Deflate(choice >> 1 & 1, choice >> 2 & 1, 8 + (choice >> 3 & 7))


cdef Limits limits_of(uint8_t choice) noexcept nogil:
    cdef Limits limits
    memset(&limits, 0, sizeof(Limits))
    limits.message_bytes = <uint64_t>1 << (choice & 31) if choice & 31 < 25 else choice & 7
    limits.inflated_bytes = 1 << 30
    limits.digest = (choice >> 5) % 3
    return limits


cdef void decode(Cursor input, uint8_t how, const Limits *limits, bint cut,
                 Journal *journal) noexcept nogil:
    cdef Handler handler = journal_open(journal, limits.message_bytes)
    cdef Deflate deflate = deflate_of(how)
    cdef Frames frames
    cdef size_t some
    frames_open(&frames, <Direction>(how & 1), &deflate, limits, &handler)
    while input.size:
        some = input.size
        if cut:
            some = min(some, <size_t>1 + cursor_chance(&input, 1 << cursor_chance(&input, 8)))
        feed_piece(&frames, journal, input.data, some)
        input.data += some
        input.size -= some
    frames_end(&frames)
    frames_close(&frames)


cdef api int run(const uint8_t *data, size_t size) noexcept nogil:
    cdef Cursor input = Cursor(data, size, 0)
    cdef uint8_t how = cursor_octet(&input)
    cdef Limits limits = limits_of(cursor_octet(&input))
    cdef Journal whole, pieces
    cursor_seed(&input)
    decode(input, how, &limits, False, &whole)
    decode(input, how, &limits, True, &pieces)
    journals_agree(&whole, &pieces, "a cut stream tells something else")
    return 0
