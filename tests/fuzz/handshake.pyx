"""Any octets as a connection from its first head on.

However both directions are cut, the same is told; the facts of the handshake are read without an
error, and agree with what the parser itself made of the heads.
"""

import traceback

from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from cursor cimport Cursor, cursor_chance, cursor_octet, cursor_seed
from journal cimport Journal, fail, journal_handshake, journal_open, journals_agree
from sockwarden.parser.connection cimport (
    Connection, connection_end, connection_feed, connection_free, connection_memory,
    connection_new)
from sockwarden.parser.events cimport (
    DIGEST_CUT, Deflate, Direction, Handler, HandshakeEvent, Limits)
from talk cimport Piece, piece_next

from sockwarden.parser import Handshake
from sockwarden.parser.extensions import agreed

cdef enum:
    MEMORY_BYTES = (4 << 20) + (1 << 20)  # a lent buffer for each message, contexts, heads


cdef object window(const Deflate *deflate):
    if not deflate.enabled:
        return None
    return deflate.window_bits, bool(deflate.no_context_takeover)


cdef void check(const HandshakeEvent *event):
    cdef int direction
    cdef bytes request = event.request[:event.request_size] if event.request_size else b""
    cdef bytes response = event.response[:event.response_size] if event.response_size else b""
    handshake = Handshake(request, response)
    fields = handshake.fields()
    str(handshake), hash(handshake)
    if (handshake.status or 0) != event.status or fields["upgraded"] and not event.upgraded:
        fail("two readers of one status line disagree")
    # A quoted string that is not closed ends with its line for one, with the list for the other.
    closed = not any(line.count(b'"') & 1 for line in response.split(b"\n"))
    if event.upgraded and closed:
        windows = agreed((handshake.extensions or "").encode("latin-1"))[:2]
        for direction in range(2):
            told = window(&event.deflate[direction])  # it may be presumed, or refused
            if None not in (told, windows[direction]) and told != windows[direction]:
                fail("two readers of the extensions disagree")


cdef void on_handshake(void *user, const HandshakeEvent *event) noexcept with gil:
    journal_handshake(user, event)
    try:
        check(event)
    except Exception:
        traceback.print_exc()
        fail("an exception over a handshake")


cdef void feed(Connection *connection, const Piece *piece, uint64_t position, size_t at,
               size_t size) noexcept nogil:
    cdef uint8_t *alone = <uint8_t *>malloc(size)
    memcpy(alone, piece.data + at, size)
    connection_feed(connection, <Direction>piece.direction, position, alone, size)
    free(alone)


cdef void decode(Cursor input, const Limits *limits, bint cut, Journal *journal) noexcept nogil:
    cdef Handler handler = journal_open(journal, limits.message_bytes)
    cdef Connection *connection
    cdef Cursor chances = input
    cdef uint64_t positions[2]
    cdef Piece piece
    cdef size_t at, some
    if not cut:
        handler.handshake = on_handshake
    connection = connection_new(limits, &handler)
    positions[0] = 1000
    positions[1] = <uint64_t>1 << 40
    piece.direction = 0
    while piece_next(&piece, &input):
        at = 0
        journal.fed += piece.missing + piece.size
        positions[piece.direction] += piece.missing
        while at < piece.size:
            some = piece.size - at
            if cut:
                some = min(some, <size_t>1 + cursor_chance(&chances, 200))
            feed(connection, &piece, positions[piece.direction], at, some)
            positions[piece.direction] += some
            at += some
        if connection_memory(connection) > MEMORY_BYTES:
            fail("more memory than the bound")
    connection_end(connection, <Direction>0, positions[0])
    connection_end(connection, <Direction>1, positions[1])
    connection_free(connection)


cdef api int run(const uint8_t *data, size_t size) noexcept nogil:
    cdef Cursor input = Cursor(data, size, 0)
    cdef uint8_t how = cursor_octet(&input)
    cdef Limits limits = Limits(16 << (how & 15), 1 << (how >> 4), 1 << 30, DIGEST_CUT)
    cdef Journal whole, pieces
    cursor_seed(&input)
    decode(input, &limits, False, &whole)
    decode(input, &limits, True, &pieces)
    journals_agree(&whole, &pieces, "a cut connection tells something else")
    return 0
