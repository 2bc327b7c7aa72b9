# distutils: libraries = z
"""One scratch and one spare buffer a thread.

A message that lies whole in a captured chunk is unmasked into the scratch.  One
that does not is joined in a buffer, which goes from message to message and from
connection to connection: memory follows the threads and the open messages,
whatever the number of connections, and no message costs an allocation.
"""

from libc.stdlib cimport free
from libc.string cimport memcpy

from sockwarden.parser.buffer cimport Buffer, buffer_release, buffer_reserve

cdef extern from "workspace.h" nogil:
    sw_workspace *sw_workspace_get()
    int sw_workspace_setup()

cdef enum:
    SPARE_BYTES = 4 << 20    # kept at most
    SMALL_BYTES = 16 << 10  # lent for any message

if sw_workspace_setup():
    raise MemoryError("no thread-specific key left for the parser's scratch memory")


cdef Workspace *workspace_get() noexcept nogil:
    return sw_workspace_get()


cdef bint workspace_grow(Workspace *self, Buffer *buffer, size_t size) noexcept nogil:
    # A message may stay open for long: it does not get what it cannot use.
    if self.spare_room < size or self.spare_room > SMALL_BYTES and self.spare_room // 4 > size:
        return buffer_reserve(buffer, size)
    if buffer.size:
        memcpy(self.spare, buffer.data, buffer.size)
    free(buffer.data)
    buffer.data = self.spare
    buffer.room = self.spare_room
    self.spare = NULL
    self.spare_room = 0
    return True


cdef void workspace_return(Workspace *self, Buffer *buffer) noexcept nogil:
    if buffer.data == NULL or buffer.room <= self.spare_room or buffer.room > SPARE_BYTES:
        buffer_release(buffer)
        return
    free(self.spare)
    self.spare = buffer.data
    self.spare_room = buffer.room
    buffer.data = NULL
    buffer.size = buffer.room = 0
