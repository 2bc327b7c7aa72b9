"""The connections that are watched now, by the number in their records.

A hash table with open addressing and a fixed size: a table that is full takes the place of
the connection that was silent longest among a few, and counts it.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from sockwarden.agent.rules.engine cimport State
from sockwarden.parser.connection cimport Connection
from sockwarden.parser.events cimport ANOMALY_COUNT


cdef struct Watched:
    uint64_t connection             # 0: a free slot
    uint64_t opened_ns
    uint64_t seen_ns
    uint64_t left_ns                # when its process ended; 0: it lives, or another one goes on
    Connection *parser              # NULL: freed, the connection is hidden
    State *state                    # of correlations; NULL until one needs it
    void *pipeline                  # who is called back
    uint64_t messages[2]            # by Direction, control frames included
    uint64_t payload_bytes[2]
    uint64_t hits_second            # the second that `hits` counts in
    uint32_t hits
    uint32_t anomalies[ANOMALY_COUNT]
    uint32_t number                 # in reports; 0: none was asked for
    uint32_t process                # that moved bytes last: thread group id; 0: not known
    uint32_t unproven               # bytes since it was met in mid-stream, and no frame yet; or 0
    uint8_t role                    # enum sw_role
    bint tls
    bint loopback
    bint hidden                     # the other end is judged, or nobody asked for it


cdef struct Table:
    Watched **slots
    size_t mask
    size_t count
    size_t limit
    size_t hand                     # where the last search for a victim ended

# False: no memory.
cdef bint table_init(Table *table, size_t limit) noexcept nogil
# Frees the table and its places; what hangs on them is the caller's.
cdef void table_free(Table *table) noexcept nogil
cdef Watched *table_find(const Table *table, uint64_t connection) noexcept nogil
# A zeroed place for a connection that is not in it; NULL: full or no memory.
cdef Watched *table_add(Table *table, uint64_t connection) noexcept nogil
cdef Watched *table_victim(Table *table) noexcept nogil
# Frees the place; what hangs on it is the caller's.
cdef void table_remove(Table *table, Watched *watched) noexcept nogil
