"""Captured packets, in their file's order, on their way to records."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from sockwarden.agent.sources.batch cimport RecordBatch
from sockwarden.agent.sources.tcp cimport Reassembler


cdef class Capture:
    cdef RecordBatch _batch
    cdef Reassembler _reassembler
    cdef readonly uint64_t packets

    # `link`: a DLT_ value.  Of a packet of `length` octets, `captured` are there.
    cdef int packet(self, int link, uint64_t time_ns, const uint8_t *data, uint32_t captured,
                    uint32_t length) except -1
    cpdef int finish(self) except -1
