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


# False, and nothing changed: there is no memory.
cdef inline bint buffer_resize(Buffer *self, size_t room) noexcept nogil:
    cdef void *data = realloc(self.data, room + SLACK)
    if data == NULL:
        return False
    self.data = <uint8_t *>data
    self.room = room
    return True


# The room to ask for where `size` bytes in all do not fit: at least doubled.
cdef inline size_t buffer_next_room(const Buffer *self, size_t size) noexcept nogil:
    return max(size, 2 * self.room, <size_t>LEAST_ROOM)


# Room for `size` bytes in all.  False, and nothing changed, without memory.
cdef inline bint buffer_reserve(Buffer *self, size_t size) noexcept nogil:
    if size <= self.room and self.data != NULL:
        return True
    return buffer_resize(self, buffer_next_room(self, size))


cdef inline size_t buffer_memory(const Buffer *self) noexcept nogil:
    return self.room + SLACK if self.data != NULL else 0


cdef inline void buffer_release(Buffer *self) noexcept nogil:
    free(self.data)
    self.data = NULL
    self.size = self.room = 0
