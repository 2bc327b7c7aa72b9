"""Records on their way from a file to the pipeline."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from sockwarden.parser.records cimport sw_open, sw_record


# A connection as far as it has been told.
cdef struct Told:
    uint64_t connection
    uint64_t sent[2]      # position behind the last octet told or missing, by enum sw_flow
    uint32_t generation
    uint8_t role          # enum sw_role


cdef class RecordBatch:
    cdef readonly object pipeline
    cdef readonly uint64_t captured_bytes
    # What was seen and could not be judged, by reason.  Names ending in _bytes are sizes.
    cdef readonly dict lost
    cdef uint64_t _connections
    cdef bytearray _buffer
    cdef uint8_t *_bytes
    cdef size_t _used

    # Begins a connection under a new number and as the next generation.
    cdef int open(self, Told *told, uint64_t time_ns, const sw_open *ends) except -1
    # The next octets of a direction.
    cdef int data(self, Told *told, int flow, uint64_t time_ns, const uint8_t *data,
                  size_t size) except -1
    # `size` octets that nobody has: the next record stands behind a hole.
    cdef int missing(self, Told *told, int flow, uint64_t time_ns, uint64_t size) except -1
    # Ends the connection; `missing` octets, by enum sw_flow, were never seen.
    cdef int close(self, Told *told, uint64_t time_ns, const uint64_t *missing) except -1
    cdef int _put(self, const Told *told, int kind, uint64_t time_ns, const void *data,
                  size_t size, uint64_t length, int flow=*) except -1
    cdef int _append(self, const sw_record *header, const uint8_t *data,
                     size_t captured) except -1
    cpdef int flush(self) except -1


cdef class ClientConnection:
    cdef RecordBatch _batch
    cdef Told _told
