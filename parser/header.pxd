"""A frame header (RFC 6455 section 5.2), whole."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    #if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    #error "keys and lengths are read as little-endian words"
    #endif
    """
    uint16_t big_endian_16 "__builtin_bswap16"(uint16_t value) nogil
    uint64_t big_endian_64 "__builtin_bswap64"(uint64_t value) nogil

cdef enum:
    FIN = 0x80
    RSV1 = 0x40
    RSV23 = 0x30
    OPCODE = 0x0F
    CONTROL = 0x08       # bit of an opcode: control frames (section 5.5)
    MASK = 0x80
    LENGTH = 0x7F
    LENGTH_16 = 126
    LENGTH_64 = 127
    CONTROL_BYTES = 125  # longest payload of a control frame
    HEADER_BYTES = 14    # longest header
    # A length has at most 63 (section 5.2); more than 53 are beyond what common peers count with.
    LENGTH_BITS = 53


cdef struct Header:
    uint64_t length  # of the payload
    uint64_t offset  # of the header's first octet in the stream
    uint32_t key     # in wire order; 0: not masked
    uint8_t first    # octet
    uint8_t size     # of the header


# Reads one of `have` octets whose length has the shortest form, all but `offset`.  Its size; 0: it
# is not whole, or its length is of another form.  The rules of the first two octets are the
# caller's.
cdef inline size_t header_read(Header *self, const uint8_t *data, size_t have) noexcept nogil:
    cdef size_t size = 2
    cdef uint16_t short_length
    if have < 2:
        return 0
    self.first = data[0]
    self.length = data[1] & LENGTH
    if self.length == LENGTH_16:
        size = 4
        if have < size:
            return 0
        memcpy(&short_length, data + 2, 2)
        self.length = big_endian_16(short_length)
        if self.length < LENGTH_16:
            return 0
    elif self.length == LENGTH_64:
        size = 10
        if have < size:
            return 0
        memcpy(&self.length, data + 2, 8)
        self.length = big_endian_64(self.length)
        if self.length >> 16 == 0 or self.length >> LENGTH_BITS:
            return 0
    self.key = 0
    if data[1] & MASK:
        if have < size + 4:
            return 0
        memcpy(&self.key, data + size, 4)
        size += 4
    self.size = <uint8_t>size
    return size
