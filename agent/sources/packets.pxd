"""One captured packet, from the link layer to its TCP segment."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t


cdef enum Dissection:
    SEGMENT
    NOT_TCP
    FRAGMENT   # of an IP datagram: its ports stand elsewhere
    CUT        # the snapshot length ended before the TCP header did
    MALFORMED  # lengths that contradict each other


# RFC 9293 3.1
cdef enum:
    TCP_FIN = 0x01
    TCP_SYN = 0x02
    TCP_RST = 0x04
    TCP_ACK = 0x10


cdef struct Endpoint:
    uint8_t address[16]  # IPv4 in the first four, the rest zero
    uint16_t port        # host order


cdef struct Segment:
    Endpoint source
    Endpoint destination
    const uint8_t *data
    uint32_t captured         # octets of payload at `data`
    uint32_t length           # octets of payload that were sent
    uint32_t sequence
    uint32_t acknowledgement
    uint8_t flags
    uint8_t family            # enum sw_family


# True: `dissect` knows the link type (a DLT_ value as pcap_datalink tells it).
cdef bint link_known(int link) noexcept nogil

# `captured` octets of a packet that had `length`.  `out` is set for SEGMENT only.
cdef Dissection dissect(int link, const uint8_t *packet, uint32_t captured, uint32_t length,
                        Segment *out) noexcept nogil
