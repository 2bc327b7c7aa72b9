"""What sources call; pipeline.pyx tells the way of one message."""

from libc.stdint cimport uint8_t, uint64_t

from sockwarden.parser.records cimport sw_record


cdef class Pipeline:
    # One record and the `header.captured` bytes behind it.  Safe to call without the GIL;
    # findings wait in the pipeline until `deliver`.
    cdef void record(self, const sw_record *header, const uint8_t *data) noexcept nogil

    # A whole message whose frames nobody kept (HAR): judged like any other.
    cdef void whole_message(self, uint64_t connection, uint64_t time_ns, int flow, int opcode,
                            const uint8_t *payload, size_t size) noexcept nogil

    # Hands the findings so far to the sink, in their order.  Raises what the sink raises.
    cpdef int deliver(self) except -1
