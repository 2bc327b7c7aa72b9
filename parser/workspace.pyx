"""One scratch and two spare buffers a thread.

A message that lies whole in a captured chunk is unmasked into the scratch.  One
that does not is joined in a spare buffer, which goes from message to message and from
connection to connection: memory follows the threads and the open messages,
whatever the number of connections, and no message costs an allocation.
"""

from libc.stdint cimport uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from sockwarden.parser.buffer cimport Buffer, buffer_next_room, buffer_release, buffer_resize

cdef extern from "workspace.h" nogil:
    sw_workspace *sw_workspace_get()
    int sw_workspace_setup()

cdef enum:
    SPARE_BYTES = 4 << 20  # kept at most
    MOST_TIMES = 16        # the spare buffer may be as large as the message

if sw_workspace_setup():
    raise MemoryError("no thread-specific key left for the parser's scratch memory")


cdef Workspace *workspace_get() noexcept nogil:
    return sw_workspace_get()


# The spare buffer that suits `size` bytes.  A message may stay open for long: it does not get
# what it will not use.  How many it expects is only what its sender says, so that counts when
# more than a small buffer has come; then a long message is not copied as it grows.
cdef inline sw_spare *suitable(Workspace *self, size_t size, uint64_t expected) noexcept nogil:
    cdef uint64_t use = max(<uint64_t>size, expected) if size > SMALL_BYTES else size
    if self.spare[0].room >= size:
        return &self.spare[0]
    if self.spare[1].room >= size and self.spare[1].room // MOST_TIMES <= use:
        return &self.spare[1]
    return NULL


cdef bint workspace_more(Workspace *self, Buffer *buffer, size_t size,
                         uint64_t expected) noexcept nogil:
    cdef sw_spare *spare = suitable(self, size, expected)
    cdef size_t room
    cdef Buffer outgrown
    if spare == NULL:
        room = buffer_next_room(buffer, size)
        if size <= SMALL_BYTES:
            room = min(room, <size_t>SMALL_BYTES)  # so that it will be the small spare buffer
        return buffer_resize(buffer, room)
    if buffer.size:
        memcpy(spare.data, buffer.data, buffer.size)
    outgrown = buffer[0]
    buffer.data = spare.data
    buffer.room = spare.room
    spare.data = NULL
    spare.room = 0
    workspace_return(self, &outgrown)
    return True


cdef void workspace_keep(Workspace *self, Buffer *buffer) noexcept nogil:
    cdef sw_spare *spare = &self.spare[buffer.room > SMALL_BYTES]
    if buffer.data == NULL or buffer.room <= spare.room or buffer.room > SPARE_BYTES:
        buffer_release(buffer)
        return
    free(spare.data)
    spare.data = buffer.data
    spare.room = buffer.room
    buffer.data = NULL
    buffer.size = buffer.room = 0
