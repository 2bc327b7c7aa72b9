"""Where a direction's bytes lie: what is new, what was seen already, what is missing."""

from libc.stdint cimport uint64_t


# All zero: nothing came yet.
cdef struct Stream:
    uint64_t next  # position of the next byte to come
    bint begun


cdef struct Piece:
    uint64_t missing  # bytes between what came before and this
    size_t skip       # bytes at its head that were seen already


# `size` bytes at `position`.  The first call fixes where the stream begins.
cdef inline Piece stream_place(Stream *self, uint64_t position, size_t size) noexcept nogil:
    cdef Piece piece = Piece(0, 0)
    cdef uint64_t seen
    if not self.begun:
        self.begun = True
        self.next = position
    if position > self.next:
        piece.missing = position - self.next
    else:
        seen = self.next - position
        piece.skip = <size_t>seen if seen < size else size
    self.next += piece.missing + (size - piece.skip)
    return piece
