"""Both directions of a connection as one input that reads like text.

The first octets are the client's.  0xFF and an octet behind it say something else: 0xFF an 0xFF
itself, below 0x80 that the other direction goes on, from 0x80 on that so many octets less 0x7F
are missing.
"""

from libc.stdint cimport uint8_t

from cursor cimport Cursor, cursor_octet

cdef enum:
    MARK = 0xFF
    GAP_FROM = 0x80
    PIECE_BYTES = 4096


# What comes next of a conversation
cdef struct Piece:
    uint8_t direction
    uint8_t missing   # octets, before the data
    size_t size
    uint8_t data[PIECE_BYTES]


# False: it is over.
cdef inline bint piece_next(Piece *self, Cursor *input) noexcept nogil:
    cdef uint8_t octet
    self.size = self.missing = 0
    while input.size and self.size < PIECE_BYTES:
        octet = input.data[0]
        if octet == MARK and input.size > 1 and input.data[1] != MARK:
            if self.size:
                return True
            cursor_octet(input)
            octet = cursor_octet(input)
            if octet < GAP_FROM:
                self.direction ^= 1
            else:
                self.missing = octet - GAP_FROM + 1
                return True
            continue
        if octet == MARK:
            cursor_octet(input)
        self.data[self.size] = cursor_octet(input)
        self.size += 1
    return self.size > 0
