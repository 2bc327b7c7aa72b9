"""Lines of JSON for messages and control frames, written where they are found."""

from libc.stdint cimport uint32_t

from sockwarden.agent.findings cimport Finding


cdef class Lines:
    cdef object _stream
    cdef char *_buffer
    cdef size_t _used
    cdef readonly bint messages   # whether they are wanted
    cdef readonly bint controls

    # A FOUND_MESSAGE or FOUND_CONTROL of the connection that reports call `number`.
    cdef int add(self, uint32_t number, const Finding *found) except -1
    cpdef int write(self, bytes line) except -1
    cpdef int flush(self) except -1
    cdef int _drain(self) except -1
