"""One direction of an HTTP/1.1 connection, as far as finding its heads needs it.

Heads are kept up to HEAD_BYTES, bodies are skipped by their framing (RFC 9112 6.3).  This is no
judge of HTTP: it accepts what lenient servers accept (bare LF, empty lines before a request) so
that no request which a server would read is overlooked.  What a head means for the handshake is
the parser's to say.
"""

from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcmp

cdef enum:
    METHOD_BYTES = 24        # of a method; longer is not HTTP
    FIRST_LINE_BYTES = 8192  # RFC 9112 3: at least 8000 octets
    CHUNK_DIGITS = 16
    HEAD_STEP_BYTES = 1024


cdef inline bint is_method(uint8_t octet) noexcept nogil:
    return c"A" <= octet <= c"Z" or octet == c"-" or octet == c"_"


cdef bint like_request(const uint8_t *data, size_t size) noexcept nogil:
    cdef size_t at = 0, start
    while at < size and (data[at] == c"\r" or data[at] == c"\n"):
        at += 1
    start = at
    while at < size and is_method(data[at]):
        at += 1
        if at - start > METHOD_BYTES:
            return False
    return at == size or (at > start and data[at] == c" ")


cdef bint like_response(const uint8_t *data, size_t size) noexcept nogil:
    return memcmp(data, b"HTTP/1.", min(size, 7)) == 0


cdef bint is_http(const uint8_t *line, size_t size, bint response) noexcept nogil:
    """Whether a whole first line, CR LF aside, is one of HTTP/1."""
    if response:
        return size >= 12 and like_response(line, size)
    # RFC 9112 3: method SP request-target SP HTTP-version
    return size > 12 and memcmp(line + size - 9, b" HTTP/1.", 8) == 0


cdef void framer_restart(Framer *self, Phase phase) noexcept nogil:
    self.phase = phase
    self.size = self.line = self.digits = 0
    self.has_first_line = False
    self.remaining = 0


cdef void framer_free(Framer *self) noexcept nogil:
    free(self.head)
    self.head = NULL
    self.capacity = 0
    framer_restart(self, HEAD)


cdef void framer_hole(Framer *self, uint64_t size) noexcept nogil:
    if self.phase in (BODY, CHUNK_DATA) and size <= self.remaining:
        self.remaining -= size
        if self.phase == CHUNK_DATA:
            if not self.remaining:
                self.phase = CHUNK_END
        elif not self.remaining:
            framer_restart(self, HEAD)
    elif self.phase not in (UNTIL_CLOSE, ALIEN):
        framer_restart(self, LOST)


cdef int keep(Framer *self, const uint8_t *octet) except -1:
    cdef uint8_t *grown
    if self.size == self.capacity:
        grown = <uint8_t *>realloc(self.head, self.capacity + HEAD_STEP_BYTES)
        if grown == NULL:
            raise MemoryError
        self.head = grown
        self.capacity += HEAD_STEP_BYTES
    self.head[self.size] = octet[0]
    self.size += 1
    return 0


cdef size_t feed_head(Framer *self, const uint8_t *data, size_t size,
                      Found *found) except? 0:
    cdef size_t at = 0
    cdef uint8_t octet
    while at < size:
        octet = data[at]
        if self.size == 0 and not self.response and (octet == c"\r" or octet == c"\n"):
            at += 1  # RFC 9112 2.2: empty lines before a request-line
            continue
        if self.size == HEAD_BYTES:
            self.phase = LONG
            found[0] = LONG_HEAD
            return at
        keep(self, data + at)
        at += 1
        if octet == c"\n":
            if not self.has_first_line:
                self.has_first_line = True
                if not is_http(self.head, self.line, self.response):
                    return alien(self, at, found)
            elif self.line == 0:
                found[0] = WHOLE_HEAD
                return at
            self.line = 0
        elif octet != c"\r":
            self.line += 1
            if not self.has_first_line and (self.line > FIRST_LINE_BYTES or (
                    self.line <= METHOD_BYTES + 1 and not begins_well(self))):
                return alien(self, at, found)
    return at


cdef inline bint begins_well(const Framer *self) noexcept nogil:
    if self.response:
        return like_response(self.head, self.size)
    return like_request(self.head, self.size)


cdef inline size_t alien(Framer *self, size_t at, Found *found) noexcept nogil:
    framer_restart(self, ALIEN)
    found[0] = NOT_HTTP
    return at


cdef size_t feed_lines(Framer *self, const uint8_t *data, size_t size) noexcept nogil:
    """Up to and with an empty line: of a trailer, or of a head too long to keep."""
    cdef size_t at = 0
    cdef uint8_t octet
    while at < size:
        octet = data[at]
        at += 1
        if octet == c"\n":
            if self.line == 0:
                framer_restart(self, HEAD)
                return at
            self.line = 0
        elif octet != c"\r":
            self.line += 1
    return at


cdef size_t feed_chunk_size(Framer *self, const uint8_t *data, size_t size) noexcept nogil:
    # RFC 9112 7.1
    cdef size_t at = 0
    cdef uint8_t octet
    cdef int digit
    while at < size:
        octet = data[at]
        at += 1
        digit = hexadecimal(octet)
        if octet == c"\n":
            if not self.digits:
                framer_restart(self, LOST)
            elif self.remaining:
                self.phase = CHUNK_DATA
            else:
                self.phase = TRAILER
                self.line = 0
            return at
        if digit >= 0 and self.line == 0:
            self.digits += 1
            if self.digits > CHUNK_DIGITS:
                framer_restart(self, LOST)
                return at
            self.remaining = self.remaining << 4 | <uint64_t>digit
        elif self.digits:
            self.line += 1  # an extension: ignored
        else:
            framer_restart(self, LOST)
            return at
    return at


cdef inline int hexadecimal(uint8_t octet) noexcept nogil:
    if c"0" <= octet <= c"9":
        return octet - c"0"
    octet |= 0x20
    return octet - c"a" + 10 if c"a" <= octet <= c"f" else -1


cdef size_t feed_known(Framer *self, size_t size) noexcept nogil:
    cdef size_t taken = <size_t>min(<uint64_t>size, self.remaining)
    self.remaining -= taken
    if not self.remaining:
        if self.phase == BODY:
            framer_restart(self, HEAD)
        else:
            self.phase = CHUNK_END
    return taken


cdef size_t feed_chunk_end(Framer *self, const uint8_t *data, size_t size) noexcept nogil:
    cdef size_t at = 0
    while at < size and data[at] == c"\r":
        at += 1
    if at < size:
        if data[at] == c"\n":
            at += 1
            self.phase = CHUNK_SIZE
            self.digits = self.line = 0
        else:
            framer_restart(self, LOST)
    return at


cdef size_t framer_feed(Framer *self, const uint8_t *data, size_t size, bint begins,
                        Found *found) except? 0:
    cdef size_t at = 0
    cdef Phase before = HEAD
    found[0] = NOTHING
    while at < size and found[0] == NOTHING and (before == HEAD or self.phase != HEAD):
        before = self.phase
        if self.phase == HEAD:
            at += feed_head(self, data + at, size - at, found)
        elif self.phase == BODY or self.phase == CHUNK_DATA:
            at += feed_known(self, size - at)
        elif self.phase == CHUNK_SIZE:
            at += feed_chunk_size(self, data + at, size - at)
        elif self.phase == CHUNK_END:
            at += feed_chunk_end(self, data + at, size - at)
        elif self.phase == TRAILER or self.phase == LONG:
            at += feed_lines(self, data + at, size - at)
        elif self.phase == LOST and begins and at == 0 and (
                like_response(data, size) if self.response else like_request(data, size)):
            framer_restart(self, HEAD)
            before = HEAD
        else:
            at = size
    return at


cdef bint has_word(const uint8_t *data, size_t size, const char *word,
                   size_t length) noexcept nogil:
    """Whether `word`, in lower case, stands in the octets in whatever case."""
    cdef size_t at, i
    if size < length:
        return False
    for at in range(size - length + 1):
        for i in range(length):
            if (data[at + i] | 0x20) != <uint8_t>word[i]:
                break
        else:
            return True
    return False


cdef void read_field(Head *head, const uint8_t *name, size_t name_size,
                     const uint8_t *value, size_t size) noexcept nogil:
    cdef size_t i
    if name_size == 7 and has_word(name, name_size, b"upgrade", 7):
        if has_word(value, size, b"websocket", 9):
            head.upgrade = True
    elif name_size == 17 and has_word(name, name_size, b"transfer-encoding", 17):
        if has_word(value, size, b"chunked", 7):
            head.chunked = True
    elif name_size == 14 and has_word(name, name_size, b"content-length", 14):
        head.length = 0
        for i in range(size):
            if c"0" <= value[i] <= c"9" and head.length < <uint64_t>1 << 59:
                head.has_length = True
                head.length = head.length * 10 + (value[i] - c"0")
            elif head.has_length:
                break


cdef Head read_head(const Framer *self) noexcept nogil:
    """What framing and the gate need of the head; read once a head."""
    cdef Head head
    cdef const uint8_t *end = self.head + self.size
    cdef const uint8_t *line = self.head
    cdef const uint8_t *name = NULL
    cdef const uint8_t *stop
    cdef const uint8_t *colon
    cdef size_t name_size = 0
    head.upgrade = head.connect = head.head = head.chunked = head.has_length = False
    head.status = 0
    head.length = 0
    if self.response:
        if self.size >= 12:
            head.status = <uint16_t>((line[9] - c"0") * 100 + (line[10] - c"0") * 10
                                     + (line[11] - c"0"))
    else:
        head.connect = self.size > 8 and memcmp(line, b"CONNECT ", 8) == 0
        head.head = self.size > 5 and memcmp(line, b"HEAD ", 5) == 0
    while line < end:
        stop = <const uint8_t *>memchr(line, c"\n", end - line)
        if stop == NULL:
            stop = end
        if line[0] == c" " or line[0] == c"\t":  # RFC 9112 5.2: the field goes on
            if name != NULL:
                read_field(&head, name, name_size, line, stop - line)
        elif line != self.head:
            colon = <const uint8_t *>memchr(line, c":", stop - line)
            name = NULL
            if colon != NULL:
                name = line
                name_size = colon - line
                while name_size and (name[name_size - 1] == c" " or name[name_size - 1] == c"\t"):
                    name_size -= 1
                read_field(&head, name, name_size, colon + 1, stop - colon - 1)
        line = stop + 1
    return head


cdef void framer_body(Framer *self, const Head *head, bint none) noexcept nogil:
    cdef bint known = head.has_length
    framer_restart(self, HEAD)
    if none:
        return
    if head.chunked:  # RFC 9112 6.3: it overrides a length
        self.phase = CHUNK_SIZE
    elif known and head.length:
        self.phase = BODY
        self.remaining = head.length
    elif self.response and not known:
        self.phase = UNTIL_CLOSE
