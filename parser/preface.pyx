"""Skips a PROXY protocol header; see preface.pxd."""

from libc.stdint cimport uint8_t

cdef enum:
    LINE_BYTES = 107    # of version 1 at most, CR LF included
    HEADER_BYTES = 16   # of version 2, before the addresses
    SIGNATURE_1 = 6
    SIGNATURE_2 = 12

cdef const uint8_t *VERSION_1 = b"PROXY "
cdef const uint8_t *VERSION_2 = b"\r\n\r\n\0\r\nQUIT\n"


# One octet of a signature.  False: it is none.
cdef inline bint recognise(Preface *self, uint8_t octet) noexcept nogil:
    if self.seen == 0:
        self.version = 1 if octet == VERSION_1[0] else 2
    if octet != (VERSION_1 if self.version == 1 else VERSION_2)[self.seen]:
        return False
    self.seen += 1
    if self.version == 1 and self.seen == SIGNATURE_1:
        self.state = PREFACE_LINE
    elif self.version == 2 and self.seen == SIGNATURE_2:
        self.state = PREFACE_HEADER
    return True


cdef size_t preface_skip(Preface *self, const uint8_t *data, size_t size,
                         const uint8_t **instead, size_t *instead_size) noexcept nogil:
    cdef size_t at = 0
    cdef size_t step
    instead_size[0] = 0
    while at < size and self.state != PREFACE_OVER:
        if self.state == PREFACE_ADDRESSES:
            step = min(size - at, self.left)
            self.left -= step
            at += step
        elif self.state == PREFACE_START:
            if not recognise(self, data[at]):
                self.state = PREFACE_OVER
                instead[0] = VERSION_1 if self.version == 1 else VERSION_2
                instead_size[0] = self.seen
                return at
            at += 1
        else:
            self.seen += 1
            if self.state == PREFACE_LINE:
                if data[at] == b"\n" or self.seen == LINE_BYTES:
                    self.state = PREFACE_OVER
            elif self.seen > HEADER_BYTES - 2:
                self.left = self.left << 8 | data[at]
                if self.seen == HEADER_BYTES:
                    self.state = PREFACE_ADDRESSES
            at += 1
        if self.state == PREFACE_ADDRESSES and not self.left:
            self.state = PREFACE_OVER
    return at
