"""Which bytes of a TCP connection become records: the kernel's gate, for captures.

Every request that asks for `Upgrade: websocket` opens a connection: its head, its response's head
whatever the status, after a 101 every byte, after a refusal the next REFUSED_BYTES.  A PROXY
header (v1, v2) or a CONNECT exchange before it is skipped.  Other HTTP makes no record, and a
connection that begins with something else is ignored for good; TLS among them is counted.

The two directions come in causal order (tcp.pyx): a response after its request.  What a client
sends before it has the response waits in a stash, because the response alone says whether those
bytes are frames or the next request.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcmp, memcpy, memset

from sockwarden.agent.sources.batch cimport RecordBatch
from sockwarden.agent.sources.http cimport (
    HEAD,
    LONG_HEAD,
    LOST,
    NOT_HTTP,
    WHOLE_HEAD,
    Found,
    Framer,
    Head,
    framer_body,
    framer_feed,
    framer_free,
    framer_hole,
    framer_restart,
    like_response,
    read_head,
)
from sockwarden.agent.sources.http cimport Phase as FramerPhase
from sockwarden.parser.records cimport (
    SW_READ,
    SW_WRITE,
    sw_open,
)

cdef enum:
    REFUSED_BYTES = 4096       # passed on after a refusal's head, of both directions together
    STASH_BYTES = 64 * 1024    # of a client that does not wait; more are taken for frames
    PROXY_LINE_BYTES = 107     # PROXY protocol 2.1, CR LF included
    PROXY_HEADER_BYTES = 16    # PROXY protocol 2.2, before its addresses

cdef const uint8_t *PROXY_V2 = b"\r\n\r\n\0\r\nQUIT\n"

cdef enum Beginning:
    UNDECIDED
    PROXY_1
    PROXY_2
    TLS
    OTHER


cdef Beginning recognise(const uint8_t *data, size_t size) noexcept nogil:
    """What up to PREFACE_BYTES octets begin."""
    if memcmp(data, PROXY_V2, min(size, 12)) == 0:
        return UNDECIDED if size < PROXY_HEADER_BYTES else PROXY_2
    if memcmp(data, b"PROXY ", min(size, 6)) == 0:
        return UNDECIDED if size < 6 else PROXY_1
    # RFC 8446 5.1: a record's type, then its legacy version
    if 0x14 <= data[0] <= 0x17 and (size < 2 or data[1] == 3) and (size < 3 or data[2] <= 4):
        return UNDECIDED if size < 3 else TLS
    return OTHER


cdef inline size_t kept(const Exchange *x) noexcept nogil:
    return x.framer[0].capacity + x.framer[1].capacity + x.stash_capacity


cdef inline void drop_buffers(Exchange *x) noexcept nogil:
    framer_free(&x.framer[0])
    framer_free(&x.framer[1])
    free(x.stash)
    x.stash = NULL
    x.stash_size = x.stash_capacity = 0


cdef inline int flow_of(const Exchange *x, int direction) noexcept nogil:
    # As the server sees it.
    return SW_READ if direction == x.client else SW_WRITE


cdef inline void ignore(Exchange *x) noexcept nogil:
    x.stage = IGNORED
    drop_buffers(x)


cdef void lose_place(Exchange *x) noexcept nogil:
    """Goes on where a segment begins like a head."""
    x.stage = HTTP
    x.framer[1 - x.client].response = True
    framer_restart(&x.framer[0], LOST)
    framer_restart(&x.framer[1], LOST)
    x.requests = 0


cdef class Gate:
    def __init__(self, RecordBatch batch not None):
        self.batch = batch

    cdef int bytes(self, Exchange *x, int direction, uint64_t time_ns,
                   const uint8_t *data, size_t size) except -1:
        cdef size_t before
        if size == 0 or x.stage == IGNORED:
            return 0
        if x.attempt == OPEN:
            return self._emit(x, direction, time_ns, data, size)
        before = kept(x)
        try:
            if x.stage == BEGINNING:
                self._beginning(x, direction, time_ns, data, size)
            else:
                self._http(x, direction, time_ns, data, size)
        finally:
            self.held += kept(x) - before
        return 0

    cdef int hole(self, Exchange *x, int direction, uint64_t time_ns, uint64_t size) except -1:
        cdef size_t before = kept(x)
        if x.stage == IGNORED:
            return 0
        if x.stage == BEGINNING:
            if x.client_known:
                lose_place(x)
            return 0
        if x.attempt == OPEN:
            self.batch.missing(&x.told, flow_of(x, direction), time_ns, size)
        elif x.attempt == AWAITED:
            self._hole_awaited(x, direction, time_ns, size)
        else:
            framer_hole(&x.framer[direction], size)
            if direction == x.client and x.framer[direction].phase == LOST:
                x.requests = 0
        self.held += kept(x) - before
        return 0

    cdef int _hole_awaited(self, Exchange *x, int direction, uint64_t time_ns,
                           uint64_t size) except -1:
        cdef Framer *framer = &x.framer[direction]
        if direction == x.client:
            self._upgraded(x, time_ns)
        elif framer.phase == HEAD and framer.size and x.requests <= 1:
            # The response's head is cut in two: what there is of it, then the hole.
            self._emit(x, direction, time_ns, framer.head, framer.size)
            self._upgraded(x, time_ns)
        else:
            framer_hole(framer, size)
            if framer.phase == LOST:
                x.hole += size
            return 0
        return self.batch.missing(&x.told, flow_of(x, direction), time_ns, size)

    cdef int close(self, Exchange *x, uint64_t time_ns, const uint64_t *missing) except -1:
        cdef size_t before = kept(x)
        cdef int server = 1 - x.client
        if x.attempt == AWAITED:
            if x.hole:
                self.batch.missing(&x.told, SW_WRITE, time_ns, x.hole)
            elif x.framer[server].phase == HEAD:
                self._emit(x, server, time_ns, x.framer[server].head, x.framer[server].size)
            self._upgraded(x, time_ns)
        self._end(x, time_ns, missing)
        ignore(x)
        self.held += kept(x) - before
        return 0

    # Beginnings

    cdef int _beginning(self, Exchange *x, int direction, uint64_t time_ns,
                        const uint8_t *data, size_t size) except -1:
        cdef size_t taken
        cdef const uint8_t *stop
        cdef Beginning what
        cdef bint answer = size >= 7 and like_response(data, size)
        if not x.client_known:
            x.client = 1 - direction if answer else direction
            x.client_known = True
        x.framer[1 - x.client].response = True
        if direction != x.client:
            if not answer:  # the server speaks first: SMTP, SSH, databases
                ignore(x)
                return 0
            lose_place(x)
            return self._http(x, direction, time_ns, data, size)
        while size:
            if x.preface_skip:
                taken = min(size, <size_t>x.preface_skip)
                x.preface_skip -= <uint32_t>taken
            elif x.preface_line:
                stop = <const uint8_t *>memchr(data, c"\n", size)
                taken = size if stop == NULL else stop + 1 - data
                x.preface_line = 0 if stop != NULL else x.preface_line + <uint32_t>taken
                if x.preface_line > PROXY_LINE_BYTES:
                    ignore(x)
                    return 0
            else:
                taken = min(size, <size_t>(PREFACE_BYTES - x.preface_size))
                memcpy(x.preface + x.preface_size, data, taken)
                x.preface_size += <uint32_t>taken
                what = recognise(x.preface, x.preface_size)
                if what == TLS:
                    self.batch.count("tls_connections")
                    ignore(x)
                    return 0
                if what == OTHER:
                    x.stage = HTTP
                    self._http(x, direction, time_ns, x.preface, x.preface_size)
                    return self._rest(x, direction, time_ns, data + taken, size - taken)
                if what == PROXY_1:
                    taken -= x.preface_size - 6
                    x.preface_line = 6
                    x.preface_size = 0
                elif what == PROXY_2:
                    x.preface_skip = x.preface[14] << 8 | x.preface[15]
                    x.preface_size = 0
            data += taken
            size -= taken
        return 0

    cdef int _rest(self, Exchange *x, int direction, uint64_t time_ns,
                   const uint8_t *data, size_t size) except -1:
        """The rest of what `_beginning` was given."""
        if size == 0 or x.stage == IGNORED:
            return 0
        return self._http(x, direction, time_ns, data, size)

    # HTTP

    cdef int _http(self, Exchange *x, int direction, uint64_t time_ns,
                   const uint8_t *data, size_t size) except -1:
        if direction == x.client:
            return self._requests(x, time_ns, data, size)
        return self._responses(x, time_ns, data, size)

    cdef int _requests(self, Exchange *x, uint64_t time_ns, const uint8_t *data,
                       size_t size) except -1:
        cdef Found found
        cdef size_t taken
        cdef bint begins = True
        cdef FramerPhase before
        while size and x.stage == HTTP:
            if x.attempt == AWAITED:
                return self._stash(x, time_ns, data, size)
            before = x.framer[x.client].phase
            taken = framer_feed(&x.framer[x.client], data, size, begins, &found)
            if found == NOT_HTTP:
                if not x.spoke_http:
                    ignore(x)
                    return 0
                framer_restart(&x.framer[x.client], LOST)
            elif found == WHOLE_HEAD or found == LONG_HEAD:
                self._request(x, time_ns, found == LONG_HEAD)
            elif x.attempt == REFUSED and before != HEAD:
                self._refused(x, x.client, time_ns, data, taken)
            data += taken
            size -= taken
            begins = False
        return 0

    cdef int _request(self, Exchange *x, uint64_t time_ns, bint cut) except -1:
        cdef Head head = read_head(&x.framer[x.client])
        cdef Request request = ORDINARY
        cdef uint32_t size = x.framer[x.client].size
        x.spoke_http = True
        if head.upgrade:
            request = UPGRADE
            self._end(x, time_ns, NULL)
            self._open(x, time_ns)
            self._emit(x, x.client, time_ns, x.framer[x.client].head, size)
            x.attempt = AWAITED
        else:
            if head.connect:
                request = TUNNEL
            elif head.head:
                request = HEAD_ONLY
            if cut:
                self.batch.count("request_heads_too_long")
            if x.attempt == REFUSED:
                self._refused(x, x.client, time_ns, x.framer[x.client].head, size)
        if x.requests == REQUESTS:  # more than any client pipelines: their order is lost
            x.requests = 0
        x.request[(x.first_request + x.requests) % REQUESTS] = request
        x.requests += 1
        if not cut:
            framer_body(&x.framer[x.client], &head, False)
        return 0

    cdef int _stash(self, Exchange *x, uint64_t time_ns, const uint8_t *data,
                    size_t size) except -1:
        cdef uint8_t *grown
        cdef uint32_t wanted
        if x.stash_size + size > STASH_BYTES:
            self._upgraded(x, time_ns)
            return self._emit(x, x.client, time_ns, data, size)
        wanted = x.stash_size + <uint32_t>size
        if wanted > x.stash_capacity:
            grown = <uint8_t *>realloc(x.stash, wanted)
            if grown == NULL:
                raise MemoryError
            x.stash = grown
            x.stash_capacity = wanted
        memcpy(x.stash + x.stash_size, data, size)
        x.stash_size = wanted
        return 0

    cdef int _responses(self, Exchange *x, uint64_t time_ns, const uint8_t *data,
                        size_t size) except -1:
        cdef Found found
        cdef size_t taken
        cdef bint refused, begins = True
        cdef int server = 1 - x.client
        if x.attempt == AWAITED and x.hole and x.framer[server].phase == LOST and (
                not like_response(data, size)):
            # The response was not captured: these are taken for frames, behind a hole.
            self.batch.missing(&x.told, SW_WRITE, time_ns, x.hole)
            self._upgraded(x, time_ns)
        while size and x.stage == HTTP:
            if x.attempt == OPEN:
                return self._emit(x, server, time_ns, data, size)
            refused = x.attempt == REFUSED
            taken = framer_feed(&x.framer[server], data, size, begins, &found)
            if refused:
                self._refused(x, server, time_ns, data, taken)
            if found == NOT_HTTP:
                framer_restart(&x.framer[server], LOST)
            elif found == WHOLE_HEAD or found == LONG_HEAD:
                self._response(x, time_ns, found == LONG_HEAD)
                if x.stage == BEGINNING:  # behind a CONNECT; a server does not speak first
                    return 0
            data += taken
            size -= taken
            begins = False
        return 0

    cdef int _response(self, Exchange *x, uint64_t time_ns, bint cut) except -1:
        cdef int server = 1 - x.client
        cdef Head head = read_head(&x.framer[server])
        cdef int request = ORDINARY
        cdef bint none
        if 100 <= head.status < 200 and head.status != 101:  # RFC 9110 15.2: interim
            framer_restart(&x.framer[server], HEAD)
            return 0
        if x.requests:
            request = x.request[x.first_request]
            x.first_request = (x.first_request + 1) % REQUESTS
            x.requests -= 1
        if x.attempt == AWAITED and (request == UPGRADE or x.hole):
            x.hole = 0
            self._emit(x, server, time_ns, x.framer[server].head, x.framer[server].size)
            if head.status == 101:
                return self._upgraded(x, time_ns)
            x.attempt = REFUSED
            x.budget = REFUSED_BYTES
        elif head.status == 101:
            if not head.upgrade:  # to another protocol
                ignore(x)
                return 0
            # Its request was not captured, or is none that was recognised.
            self._end(x, time_ns, NULL)
            self._open(x, time_ns)
            self._emit(x, server, time_ns, x.framer[server].head, x.framer[server].size)
            return self._upgraded(x, time_ns)
        if request == TUNNEL and 200 <= head.status < 300:
            framer_restart(&x.framer[0], HEAD)
            framer_restart(&x.framer[1], HEAD)
            x.stage = BEGINNING
            x.preface_size = x.requests = 0
            return 0
        # RFC 9112 6.3
        none = request == HEAD_ONLY or head.status == 204 or head.status == 304
        if not cut:
            framer_body(&x.framer[server], &head, none)
        if x.attempt == REFUSED and x.stash_size:
            return self._unstash(x, time_ns)
        return 0

    cdef int _unstash(self, Exchange *x, uint64_t time_ns) except -1:
        """After a refusal: what the client sent meanwhile are further requests."""
        cdef uint8_t *stash = x.stash
        cdef uint32_t size = x.stash_size
        x.stash = NULL
        x.stash_size = x.stash_capacity = 0
        try:
            return self._requests(x, time_ns, stash, size)
        finally:
            free(stash)

    # Records

    cdef int _upgraded(self, Exchange *x, uint64_t time_ns) except -1:
        """From here on every byte; first those that the client sent meanwhile."""
        x.attempt = OPEN
        self._emit(x, x.client, time_ns, x.stash, x.stash_size)
        drop_buffers(x)
        return 0

    cdef int _refused(self, Exchange *x, int direction, uint64_t time_ns,
                      const uint8_t *data, size_t size) except -1:
        size = min(size, <size_t>x.budget)
        self._emit(x, direction, time_ns, data, size)
        x.budget -= <uint32_t>size
        if not x.budget:
            self._end(x, time_ns, NULL)
        return 0

    cdef int _open(self, Exchange *x, uint64_t time_ns) except -1:
        cdef sw_open ends
        cdef int server = 1 - x.client
        memset(&ends, 0, sizeof(ends))
        x.hole = 0
        ends.fd = -1
        ends.family = x.family
        ends.local_port = x.end[server].port
        ends.remote_port = x.end[x.client].port
        memcpy(ends.local, x.end[server].address, 16)
        memcpy(ends.remote, x.end[x.client].address, 16)
        return self.batch.open(&x.told, time_ns, &ends)

    cdef int _emit(self, Exchange *x, int direction, uint64_t time_ns,
                   const uint8_t *data, size_t size) except -1:
        return self.batch.data(&x.told, flow_of(x, direction), time_ns, data, size)

    cdef int _end(self, Exchange *x, uint64_t time_ns, const uint64_t *missing) except -1:
        cdef uint64_t by_flow[2]
        if x.attempt == NONE:
            return 0
        by_flow = [0, 0]
        if x.attempt == OPEN and missing != NULL:
            by_flow[<int>SW_READ] = missing[x.client]
            by_flow[<int>SW_WRITE] = missing[1 - x.client]
        x.attempt = NONE
        return self.batch.close(&x.told, time_ns, by_flow)
