"""Composes a valid stream of frames (RFC 6455 section 5.2) in a buffer."""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

cdef enum:
    STREAM_BYTES = 1 << 16


cdef struct Stream:
    uint8_t data[STREAM_BYTES]
    size_t size
    bint masked
    uint32_t key  # in wire order


cdef inline bint stream_has_room(const Stream *self, size_t size) noexcept nogil:
    return size + 14 <= STREAM_BYTES - self.size


cdef inline void put(Stream *self, uint8_t octet) noexcept nogil:
    self.data[self.size] = octet
    self.size += 1


# `first`: FIN, RSV and opcode.  There is room.
cdef inline void stream_frame(Stream *self, uint8_t first, const uint8_t *payload,
                              size_t size) noexcept nogil:
    cdef uint8_t mask = 0x80 if self.masked else 0
    cdef const uint8_t *key = <const uint8_t *>&self.key
    cdef size_t at
    put(self, first)
    if size < 126:
        put(self, <uint8_t>(mask | size))
    else:
        put(self, mask | 126)
        put(self, <uint8_t>(size >> 8))
        put(self, <uint8_t>size)
    if self.masked:
        memcpy(self.data + self.size, key, 4)
        self.size += 4
    for at in range(size):
        put(self, payload[at] ^ (key[at & 3] if self.masked else 0))
    self.key = self.key * 0x01000193 + 1
