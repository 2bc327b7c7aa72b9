"""Records on their way from a file to the pipeline."""

from libc.stdint cimport uint8_t, uint64_t

from sockwarden.parser.records cimport sw_record


cdef class RecordBatch:
    cdef readonly object pipeline
    cdef readonly uint64_t captured_bytes
    # What was seen and could not be judged, by reason.  Names ending in _bytes are sizes.
    cdef readonly dict lost
    cdef uint64_t _connections
    cdef bytearray _buffer
    cdef uint8_t *_bytes
    cdef size_t _used

    # A number for a new connection, unique in this batch's run.
    cdef uint64_t number(self) noexcept
    # The record and the `header.captured` bytes behind it, copied.
    cdef int put(self, const sw_record *header, const void *data) except -1
    cdef int _append(self, const sw_record *header, const uint8_t *data,
                     size_t captured) except -1
    cpdef int flush(self) except -1
