"""A growing run of bytes that leaves room behind its end for whole-vector stores."""

from libc.stdint cimport uint8_t
from libc.stdlib cimport free, realloc

cdef enum:
    SLACK = 64        # bytes that a kernel of masking.pxd may write behind what it was asked for
    LEAST_ROOM = 192  # with the slack, a power of two


cdef struct Buffer:
    uint8_t *data
    size_t size
    size_t room  # without the slack


# Room for `size` bytes in all, at least doubled.  False, and nothing changed, without memory.
cdef inline bint buffer_reserve(Buffer *self, size_t size) noexcept nogil:
    cdef size_t room
    cdef void *data
    if size <= self.room and self.data != NULL:
        return True
    room = max(size, 2 * self.room, <size_t>LEAST_ROOM)
    data = realloc(self.data, room + SLACK)
    if data == NULL:
        return False
    self.data = <uint8_t *>data
    self.room = room
    return True


cdef inline size_t buffer_memory(const Buffer *self) noexcept nogil:
    return self.room + SLACK if self.data != NULL else 0


cdef inline void buffer_release(Buffer *self) noexcept nogil:
    free(self.data)
    self.data = NULL
    self.size = self.room = 0
