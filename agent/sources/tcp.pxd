"""TCP segments of many connections, put in order."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from sockwarden.agent.sources.gate cimport Exchange, Gate
from sockwarden.agent.sources.packets cimport Segment


# Octets that came before those in front of them.  The data stands behind the struct.
cdef struct Held:
    Held *next
    uint64_t position
    uint64_t needs       # position that the other direction must have reached
    uint64_t time_ns
    uint64_t packet      # Connection.packets when it came
    uint32_t size        # octets behind the struct
    uint32_t length      # octets that were sent


cdef struct Half:
    bint numbered        # `base` is known, by what it sent or by what was acknowledged
    bint sent            # a segment of it was seen
    bint syn             # its SYN was, whose number is `start`
    uint32_t start
    bint anchored        # `next` is where its stream goes on; else that is a guess, for a while
    bint ended           # `end` is known
    uint32_t base        # sequence number of position 0
    uint64_t next        # position of the first octet that was not delivered
    uint64_t seen        # and behind the last octet that was captured
    uint64_t acked       # the other side has everything before this position
    uint64_t end         # position of the FIN
    uint64_t met         # Connection.packets when its first segment came
    Held *first
    Held *last
    uint32_t segments
    size_t bytes


cdef struct Connection:
    Exchange exchange
    Half half[2]         # by sender: 0 sent the first packet seen
    Connection *chain    # in its bucket
    Connection *newer    # by last use
    Connection *older
    uint64_t hash
    bint watched         # which list it is in
    bint reset           # the streams end where they were when a RST came
    bint closed          # what still comes is a stray
    uint64_t packets


# Connections by last use; `watched` ones have a WebSocket and are evicted last.
cdef struct Uses:
    Connection *newest
    Connection *oldest


cdef class Reassembler:
    cdef Gate gate
    cdef Connection **_buckets
    cdef uint64_t _seed
    cdef uint32_t _count
    cdef size_t _held
    cdef uint64_t _now_ns
    cdef Uses _uses[2]

    cdef int segment(self, const Segment *segment, uint64_t time_ns) except -1
    # The capture is over: everything held is delivered, every connection ended.
    cpdef int finish(self) except -1

    cdef Connection *_of(self, const Segment *segment, int *direction) except? NULL
    cdef int _payload(self, Connection *c, int direction, Held piece,
                      const uint8_t *data) except -1
    cdef int _deliver(self, Connection *c, int direction, const Held *piece,
                      const uint8_t *data) except -1
    cdef int _hold(self, Connection *c, int direction, Held piece, const uint8_t *data) except -1
    cdef Held *_insert(self, Half *half, Held *before, const Held *piece,
                       const uint8_t *data) except NULL
    cdef int _pop(self, Connection *c, int direction) except -1
    cdef int _settle(self, Connection *c, int direction, uint64_t position) except -1
    cdef int _advance(self, Connection *c) except -1
    cdef int _force(self, Connection *c) except -1
    cdef int _give_up(self, Connection *c) except -1
    cdef int _close(self, Connection *c) except -1
    cdef Connection *_find(self, const Segment *segment, uint64_t hash, int *direction) noexcept
    cdef Connection *_create(self, const Segment *segment, uint64_t hash) except NULL
    cdef int _remove(self, Connection *c) except -1
    cdef int _make_room(self, const Connection *keep) except -1
    cdef void _touch(self, Connection *c) noexcept
