"""Which bytes of a TCP connection become records."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from sockwarden.agent.sources.batch cimport RecordBatch, Told
from sockwarden.agent.sources.http cimport Framer
from sockwarden.agent.sources.packets cimport Endpoint

cdef enum:
    REQUESTS = 64          # that wait for their response; more: the order is lost
    PREFACE_BYTES = 16     # enough to know what a connection begins with


cdef enum Stage:
    BEGINNING  # nothing is known of the connection yet
    HTTP
    IGNORED    # for good: not HTTP


cdef enum Attempt:
    NONE
    AWAITED    # a request asks for a WebSocket; its response has not come
    OPEN       # upgraded: every byte is a record
    REFUSED    # the next REFUSED_BYTES are


cdef enum Request:
    ORDINARY
    HEAD_ONLY
    TUNNEL
    UPGRADE


# One TCP connection as the gate sees it; zeroed it is a new one.
cdef struct Exchange:
    Endpoint end[2]             # by direction: who sends in it
    uint8_t family
    Stage stage
    bint client_known
    int client                  # the direction in which requests go
    # Beginnings: PROXY header, TLS
    uint8_t preface[PREFACE_BYTES]
    uint32_t preface_size
    uint32_t preface_skip       # octets of a PROXY v2 header to come
    uint32_t preface_line       # octets so far of a PROXY v1 line, 0: none
    Framer framer[2]
    bint spoke_http             # a whole request head was seen
    # Requests without a response, a ring
    uint8_t request[REQUESTS]
    uint32_t first_request
    uint32_t requests
    # The WebSocket
    Attempt attempt
    Told told
    uint32_t budget             # REFUSED: bytes still to be passed on
    uint64_t hole               # AWAITED: size of what is missing where the response should be
    uint8_t *stash              # what the client sent before the response came
    uint32_t stash_size
    uint32_t stash_capacity


cdef class Gate:
    cdef RecordBatch batch
    cdef size_t held            # octets that all exchanges keep

    # The next bytes of a direction; they begin a segment.
    cdef int bytes(self, Exchange *x, int direction, uint64_t time_ns,
                   const uint8_t *data, size_t size) except -1
    cdef int hole(self, Exchange *x, int direction, uint64_t time_ns, uint64_t size) except -1
    # No more of it comes; `missing` bytes, by direction, were never seen.
    cdef int close(self, Exchange *x, uint64_t time_ns, const uint64_t *missing) except -1

    cdef int _hole_awaited(self, Exchange *x, int direction, uint64_t time_ns,
                           uint64_t size) except -1
    cdef int _beginning(self, Exchange *x, int direction, uint64_t time_ns,
                        const uint8_t *data, size_t size) except -1
    cdef int _rest(self, Exchange *x, int direction, uint64_t time_ns,
                   const uint8_t *data, size_t size) except -1
    cdef int _http(self, Exchange *x, int direction, uint64_t time_ns,
                   const uint8_t *data, size_t size) except -1
    cdef int _requests(self, Exchange *x, uint64_t time_ns, const uint8_t *data,
                       size_t size) except -1
    cdef int _request(self, Exchange *x, uint64_t time_ns, bint cut) except -1
    cdef int _responses(self, Exchange *x, uint64_t time_ns, const uint8_t *data,
                        size_t size) except -1
    cdef int _response(self, Exchange *x, uint64_t time_ns, bint cut) except -1
    cdef int _unstash(self, Exchange *x, uint64_t time_ns) except -1
    cdef int _upgraded(self, Exchange *x, uint64_t time_ns) except -1
    cdef int _stash(self, Exchange *x, uint64_t time_ns, const uint8_t *data,
                    size_t size) except -1
    cdef int _open(self, Exchange *x, uint64_t time_ns) except -1
    cdef int _emit(self, Exchange *x, int direction, uint64_t time_ns,
                   const uint8_t *data, size_t size) except -1
    cdef int _refused(self, Exchange *x, int direction, uint64_t time_ns,
                      const uint8_t *data, size_t size) except -1
    cdef int _end(self, Exchange *x, uint64_t time_ns, const uint64_t *missing) except -1
