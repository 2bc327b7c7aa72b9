"""Reads an input of the fuzzer as choices, then as the octets that are left."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy


cdef struct Cursor:
    const uint8_t *data
    size_t size
    uint32_t state  # of `cursor_chance`


# The next octet; 0 where none is left.
cdef inline uint8_t cursor_octet(Cursor *self) noexcept nogil:
    cdef uint8_t octet
    if not self.size:
        return 0
    octet = self.data[0]
    self.data += 1
    self.size -= 1
    return octet


# Takes up to `size` octets; how many.
cdef inline size_t cursor_take(Cursor *self, size_t size, const uint8_t **data) noexcept nogil:
    size = min(size, self.size)
    data[0] = self.data
    self.data += size
    self.size -= size
    return size


# An input of a few octets decides on many cuts: they are the seed of a generator (xorshift).
cdef inline void cursor_seed(Cursor *self) noexcept nogil:
    cdef int _
    self.state = 0x9E3779B9
    for _ in range(2):
        self.state = (self.state ^ cursor_octet(self)) * <uint32_t>0x01000193 | 1


cdef inline uint32_t cursor_chance(Cursor *self, uint32_t below) noexcept nogil:
    self.state ^= self.state << 13
    self.state ^= self.state >> 17
    self.state ^= self.state << 5
    return self.state % below
