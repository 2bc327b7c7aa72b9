"""The table of watched connections; connections.pxd is its contract."""

from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free

# A table at most half full keeps a look-up at one or two places.
cdef enum:
    SPARE = 2
    CANDIDATES = 32


cdef bint table_init(Table *table, size_t limit) noexcept nogil:
    cdef size_t size = 16
    while size < limit * SPARE:
        size *= 2
    table.slots = <Watched **>calloc(size, sizeof(Watched *))
    table.mask = size - 1
    table.limit = limit
    table.count = table.hand = 0
    return table.slots != NULL


cdef void table_free(Table *table) noexcept nogil:
    cdef size_t at
    for at in range(table.mask + 1):
        free(table.slots[at])
    free(table.slots)
    table.slots = NULL


cdef inline size_t home(const Table *table, uint64_t connection) noexcept nogil:
    # Fibonacci hashing: connection numbers are times and differ in their low bits.
    return <size_t>((connection * <uint64_t>0x9E3779B97F4A7C15) >> 32) & table.mask


cdef Watched *table_find(const Table *table, uint64_t connection) noexcept nogil:
    cdef size_t at = home(table, connection)
    while table.slots[at] != NULL:
        if table.slots[at].connection == connection:
            return table.slots[at]
        at = (at + 1) & table.mask
    return NULL


cdef Watched *table_add(Table *table, uint64_t connection) noexcept nogil:
    cdef Watched *watched
    cdef size_t at = home(table, connection)
    if table.count >= table.limit:
        return NULL
    watched = <Watched *>calloc(1, sizeof(Watched))
    if watched == NULL:
        return NULL
    watched.connection = connection
    while table.slots[at] != NULL:
        at = (at + 1) & table.mask
    table.slots[at] = watched
    table.count += 1
    return watched


cdef Watched *table_victim(Table *table) noexcept nogil:
    """The longest silent of the next few connections, or NULL in an empty table."""
    cdef Watched *oldest = NULL
    cdef size_t seen = 0, steps = 0
    while seen < CANDIDATES and steps <= table.mask:
        table.hand = (table.hand + 1) & table.mask
        steps += 1
        if table.slots[table.hand] != NULL:
            seen += 1
            if oldest == NULL or table.slots[table.hand].seen_ns < oldest.seen_ns:
                oldest = table.slots[table.hand]
    return oldest


cdef void table_remove(Table *table, Watched *watched) noexcept nogil:
    cdef size_t hole = home(table, watched.connection), at, wanted
    while table.slots[hole] != watched:
        hole = (hole + 1) & table.mask
    free(watched)
    table.count -= 1
    # Backward shift instead of tombstones: later ones of the same run move up.
    at = hole
    while True:
        table.slots[hole] = NULL
        while True:
            at = (at + 1) & table.mask
            if table.slots[at] == NULL:
                return
            wanted = home(table, table.slots[at].connection)
            if ((at - wanted) & table.mask) >= ((at - hole) & table.mask):
                break
        table.slots[hole] = table.slots[at]
        hole = at
