"""Reader of a BPF ring buffer (BPF_MAP_TYPE_RINGBUF) that another process made.

Needs no privilege: the descriptor is enough to map it.  One reader a ring.
"""

from libc.stdint cimport uint8_t, uint64_t

from sockwarden.parser.records cimport sw_record


cdef class Ring:
    cdef int _fd
    cdef size_t _size
    cdef size_t _mask
    cdef size_t _page
    cdef uint64_t *_consumer      # page 0, read and written
    cdef uint64_t *_producer      # page 1, read only
    cdef const uint8_t *_data     # mapped twice in a row: no record wraps
    cdef uint64_t _position
    cdef readonly uint64_t malformed  # records whose sizes contradict each other

    # The next committed record, or NULL.  Valid until `release`.
    cdef const sw_record *next(self, size_t *size) noexcept nogil
    # Gives everything up to the last `next` back to the kernel.
    cdef void release(self) noexcept nogil
    cpdef uint64_t backlog(self) noexcept
