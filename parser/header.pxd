"""A frame header (RFC 6455 section 5.2), whole."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

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


cdef struct Header:
    uint64_t length  # of the payload
    uint64_t offset  # of the header's first octet in the stream
    uint32_t key     # in wire order; 0: not masked
    uint8_t first    # octet
    uint8_t size     # of the header
