"""Captured packets, in their file's order, on their way to records.

The way of a packet, whatever its file's format: dissection, reassembly, gate, batch.  What is
no TCP is passed over; what is TCP and cannot be used is counted.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from sockwarden.agent.sources.batch cimport RecordBatch
from sockwarden.agent.sources.gate cimport Gate
from sockwarden.agent.sources.packets cimport (
    CUT,
    FRAGMENT,
    MALFORMED,
    SEGMENT,
    Dissection,
    Segment,
    dissect,
)
from sockwarden.agent.sources.tcp cimport Reassembler

cdef enum:
    PACKETS_PER_SIGNAL_CHECK = 16_384


cdef class Capture:
    def __init__(self, RecordBatch batch not None):
        self._batch = batch
        self._reassembler = Reassembler(Gate(batch))

    cdef int packet(self, int link, uint64_t time_ns, const uint8_t *data, uint32_t captured,
                    uint32_t length) except -1:
        cdef Segment segment
        cdef Dissection what = dissect(link, data, captured, length, &segment)
        self.packets += 1
        if self.packets % PACKETS_PER_SIGNAL_CHECK == 0:
            PyErr_CheckSignals()
        if what == SEGMENT:
            return self._reassembler.segment(&segment, time_ns)
        if what == FRAGMENT:
            self._batch.count("ip_fragments")
        elif what == CUT:
            self._batch.count("packet_headers_beyond_snapshot")
        elif what == MALFORMED:
            self._batch.count("packets_malformed")
        return 0

    cpdef int finish(self) except -1:
        """No more packets come."""
        return self._reassembler.finish()
