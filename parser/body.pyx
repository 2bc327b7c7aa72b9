"""Skips a body by Content-Length or by chunks; see body.pxd."""

from libc.stdint cimport UINT64_MAX, uint8_t, uint64_t

from sockwarden.parser.head cimport Text, head_find


cdef inline int digit(uint8_t octet) noexcept nogil:
    if b"0" <= octet <= b"9":
        return octet - <int>b"0"
    octet |= 0x20
    return octet - <int>b"a" + 10 if b"a" <= octet <= b"f" else -1


cdef inline uint64_t appended(uint64_t number, unsigned int base, int value) noexcept nogil:
    return UINT64_MAX if number > (UINT64_MAX >> 5) else number * base + <unsigned int>value


cdef void body_begin(Body *self, Text head) noexcept nogil:
    cdef Text value
    cdef size_t at
    self.left = 0
    self.line_empty = True
    if head_find(head, b"transfer-encoding", b"chunked", &value):
        self.state = BODY_SIZE
        return
    if head_find(head, b"content-length", NULL, &value):
        for at in range(value.size):
            if not b"0" <= value.data[at] <= b"9":
                break
            self.left = appended(self.left, 10, value.data[at] - <int>b"0")
    self.state = BODY_LENGTH if self.left else BODY_DONE


# One octet of a chunk's frame.
cdef void chunk_octet(Body *self, uint8_t octet) noexcept nogil:
    cdef int value = digit(octet)
    if octet == b"\n":
        if self.state == BODY_SIZE:
            self.state = BODY_CHUNK if self.left else BODY_TRAILER
        elif self.state == BODY_CHUNK:
            self.state = BODY_SIZE
        elif self.line_empty:
            self.state = BODY_DONE
        self.line_empty = True
    elif octet != b"\r":
        if self.state == BODY_SIZE and self.line_empty and value >= 0:
            self.left = appended(self.left, 16, value)
        else:
            self.line_empty = False  # a chunk extension, or a trailer field


cdef size_t body_skip(Body *self, const uint8_t *data, size_t size) noexcept nogil:
    cdef size_t at = 0, some
    while at < size and self.state != BODY_DONE:
        if self.left and self.state in (BODY_LENGTH, BODY_CHUNK):
            some = <size_t>min(self.left, <uint64_t>(size - at))
            self.left -= some
            at += some
            if self.state == BODY_LENGTH and not self.left:
                self.state = BODY_DONE
        else:
            chunk_octet(self, data[at])
            at += 1
    return at
