"""Compiled databases as bytes, by what they were compiled from."""

from sockwarden.agent.rules.vectorscan cimport hs_database_t


cdef class Databases:
    cdef dict known          # of an earlier load
    cdef readonly dict used  # of this load
    cdef readonly bint complete

    # NULL: it is to be compiled, and then kept.
    cdef hs_database_t *take(self, bytes key) noexcept
    cdef int keep(self, bytes key, const hs_database_t *database) except -1
