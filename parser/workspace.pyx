"""One scratch and a few spare buffers a thread, from 16 KiB to 4 MiB.

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
    SIZE_STEP = 4  # between two spare buffers; the largest has 4 MiB

if sw_workspace_setup():
    raise MemoryError("no thread-specific key left for the parser's scratch memory")


cdef Workspace *workspace_get() noexcept nogil:
    return sw_workspace_get()


# The spare buffer that suits `size` bytes.  A message may stay open for long: it does not get
# what it will not use.  How many it expects is only what its sender says, so that counts when
# more than a small buffer has come; then a long message is seldom copied as it grows.
cdef sw_spare *suitable(Workspace *self, size_t size, uint64_t expected) noexcept nogil:
    cdef uint64_t use = max(<uint64_t>size, expected) if size > SMALL_BYTES else size
    cdef sw_spare *found = NULL
    cdef sw_spare *spare
    cdef int at
    for at in range(<int>SW_SPARES):
        spare = &self.spare[at]
        if spare.room >= size and (at == 0 or spare.room // SIZE_STEP <= use):
            found = spare
            if spare.room >= use:
                break
    return found


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
    cdef size_t most = SMALL_BYTES
    cdef sw_spare *spare
    cdef int at = 0
    while at < SW_SPARES and buffer.room > most:
        most *= SIZE_STEP
        at += 1
    if at == SW_SPARES or buffer.room <= self.spare[at].room:
        buffer_release(buffer)
        return
    spare = &self.spare[at]
    free(spare.data)
    spare.data = buffer.data
    spare.room = buffer.room
    buffer.data = NULL
    buffer.size = buffer.room = 0
