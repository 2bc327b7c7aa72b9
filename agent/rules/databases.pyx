# cython: language_level=3
# distutils: libraries = hs
"""Compiled databases as bytes, by what they were compiled from: for the cache.

Vectorscan looks at the version, the processor and a CRC of such bytes, no further: they are
trusted as code is, and come from nowhere but `cache`.
"""

from libc.stdlib cimport free

from sockwarden.agent.rules.vectorscan cimport (
    HS_SUCCESS,
    hs_deserialize_database,
    hs_platform_info_t,
    hs_populate_platform,
    hs_serialize_database,
    hs_version,
    platform,
)


def built_for():
    """The library and the processor that databases are compiled by and for."""
    cdef hs_platform_info_t here
    cdef const hs_platform_info_t *wanted = platform()
    if wanted is NULL:
        if hs_populate_platform(&here) != HS_SUCCESS:
            raise RuntimeError("vectorscan does not know this processor")
        wanted = &here
    return f"{(<bytes> hs_version()).decode()} {wanted.tune} {wanted.cpu_features:x}"


cdef class Databases:
    def __cinit__(self, dict known=None):
        self.known = known or {}
        self.used = {}
        self.complete = True

    cdef hs_database_t *take(self, bytes key) noexcept:
        cdef hs_database_t *database = NULL
        cdef object found = self.known.get(key)
        cdef bytes data
        if found is None:
            return NULL
        data = found
        if hs_deserialize_database(data, len(data), &database) != HS_SUCCESS:
            return NULL
        self.used[key] = data
        return database

    cdef int keep(self, bytes key, const hs_database_t *database) except -1:
        cdef char *data = NULL
        cdef size_t size = 0
        self.complete = False
        if hs_serialize_database(database, &data, &size) != HS_SUCCESS:
            raise MemoryError
        try:
            self.used[key] = data[:size]
        finally:
            free(data)
        return 0
