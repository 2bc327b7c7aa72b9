"""One captured packet, from the link layer to its TCP segment.

Pure functions over octets: each field is read only behind a check of what was captured.  Length
fields of the packet bound the payload (Ethernet pads short frames); where they contradict what
was on the wire the packet is refused as MALFORMED.  Checksums are not verified: captures of
the sending host show them before the network card fills them in.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from sockwarden.parser.records cimport SW_IPV4, SW_IPV6

# https://www.tcpdump.org/linktypes.html, as DLT_ values
cdef enum:
    DLT_NULL = 0
    DLT_EN10MB = 1
    DLT_RAW = 12
    DLT_RAW_OPENBSD = 14
    LINKTYPE_RAW = 101
    DLT_LOOP = 108
    DLT_LINUX_SLL = 113
    DLT_IPV4 = 228
    DLT_IPV6 = 229
    DLT_LINUX_SLL2 = 276

cdef enum:
    ETHERTYPE_IPV4 = 0x0800
    ETHERTYPE_IPV6 = 0x86DD
    ETHERTYPE_VLAN = 0x8100       # IEEE 802.1Q
    ETHERTYPE_QINQ = 0x88A8       # IEEE 802.1ad
    ETHERTYPE_QINQ_OLD = 0x9100
    VLAN_TAGS = 4                 # more is not traffic

cdef enum:
    PROTOCOL_TCP = 6
    IPV6_HOP_BY_HOP = 0
    IPV6_ROUTING = 43
    IPV6_FRAGMENT = 44
    IPV6_AUTHENTICATION = 51
    IPV6_DESTINATION = 60
    IPV6_MOBILITY = 135
    IPV6_HIP = 139
    IPV6_SHIM6 = 140
    EXTENSION_HEADERS = 16        # more is not traffic


cdef inline uint16_t be16(const uint8_t *data) noexcept nogil:
    return <uint16_t>(data[0] << 8 | data[1])


cdef inline uint32_t be32(const uint8_t *data) noexcept nogil:
    return <uint32_t>be16(data) << 16 | be16(data + 2)


cdef bint link_known(int link) noexcept nogil:
    return link in (DLT_NULL, DLT_EN10MB, DLT_RAW, DLT_RAW_OPENBSD, LINKTYPE_RAW, DLT_LOOP,
                    DLT_LINUX_SLL, DLT_IPV4, DLT_IPV6, DLT_LINUX_SLL2)


cdef Dissection dissect(int link, const uint8_t *packet, uint32_t captured, uint32_t length,
                        Segment *out) noexcept nogil:
    cdef uint32_t header, type_at
    cdef uint16_t ethertype
    cdef int tags = 0
    if captured > length:
        captured = length
    if link == DLT_EN10MB:
        header, type_at = 14, 12
    elif link == DLT_LINUX_SLL:
        header, type_at = 16, 14
    elif link == DLT_LINUX_SLL2:
        header, type_at = 20, 0
    else:
        # DLT_NULL and DLT_LOOP: four octets of an address family that each system numbers
        # in its own way; the IP version says the same.
        header = 4 if link == DLT_NULL or link == DLT_LOOP else 0
        if captured < header:
            return CUT
        return dissect_ip(packet + header, captured - header, length - header, out)
    if captured < header:
        return CUT
    ethertype = be16(packet + type_at)
    while ethertype in (ETHERTYPE_VLAN, ETHERTYPE_QINQ, ETHERTYPE_QINQ_OLD):
        tags += 1
        if tags > VLAN_TAGS:
            return MALFORMED
        if captured < header + 4:
            return CUT
        ethertype = be16(packet + header + 2)
        header += 4
    if ethertype != ETHERTYPE_IPV4 and ethertype != ETHERTYPE_IPV6:
        return NOT_TCP
    return dissect_ip(packet + header, captured - header, length - header, out)


cdef Dissection dissect_ip(const uint8_t *packet, uint32_t captured, uint32_t length,
                           Segment *out) noexcept nogil:
    if captured < 1:
        return CUT
    memset(out, 0, sizeof(Segment))
    if packet[0] >> 4 == 4:
        return dissect_ipv4(packet, captured, length, out)
    if packet[0] >> 4 == 6:
        return dissect_ipv6(packet, captured, length, out)
    return NOT_TCP


cdef Dissection dissect_ipv4(const uint8_t *packet, uint32_t captured, uint32_t length,
                             Segment *out) noexcept nogil:
    cdef uint32_t header, total
    if captured < 20:
        return CUT
    header = (packet[0] & 15) * 4
    total = be16(packet + 2)
    if total == 0:  # segmentation offload: larger than the field can say
        total = length
    if header < 20 or total < header or total > length:
        return MALFORMED
    if packet[9] != PROTOCOL_TCP:
        return NOT_TCP
    if be16(packet + 6) & 0x3FFF:  # RFC 791 3.1: more fragments, or an offset
        return FRAGMENT
    if captured < header:
        return CUT
    out.family = SW_IPV4
    memcpy(out.source.address, packet + 12, 4)
    memcpy(out.destination.address, packet + 16, 4)
    return dissect_tcp(packet + header, min(captured, total) - header, total - header, out)


cdef Dissection dissect_ipv6(const uint8_t *packet, uint32_t captured, uint32_t length,
                             Segment *out) noexcept nogil:
    cdef uint32_t at = 40, total, size
    cdef uint8_t protocol
    cdef int headers = 0
    if captured < 40:
        return CUT
    total = be16(packet + 4)
    total = total + 40 if total else length  # 0: segmentation offload, or a jumbogram
    if total > length:
        return MALFORMED
    captured = min(captured, total)
    protocol = packet[6]
    while protocol != PROTOCOL_TCP:
        if protocol not in (IPV6_HOP_BY_HOP, IPV6_ROUTING, IPV6_FRAGMENT, IPV6_AUTHENTICATION,
                            IPV6_DESTINATION, IPV6_MOBILITY, IPV6_HIP, IPV6_SHIM6):
            return NOT_TCP
        headers += 1
        if headers > EXTENSION_HEADERS:
            return MALFORMED
        if captured < at + 8:
            return MALFORMED if total < at + 8 else CUT
        if protocol == IPV6_FRAGMENT:
            if be16(packet + at + 2) & 0xFFF9:  # RFC 8200 4.5; offset 0 and last: whole
                return FRAGMENT
            size = 8
        elif protocol == IPV6_AUTHENTICATION:  # RFC 4302 2.2: in words of 4, less 2
            size = (packet[at + 1] + 2) * 4
        else:
            size = (packet[at + 1] + 1) * 8
        protocol = packet[at]
        at += size
        if at > total:
            return MALFORMED
    if captured < at:
        return CUT
    out.family = SW_IPV6
    memcpy(out.source.address, packet + 8, 16)
    memcpy(out.destination.address, packet + 24, 16)
    return dissect_tcp(packet + at, captured - at, total - at, out)


cdef Dissection dissect_tcp(const uint8_t *packet, uint32_t captured, uint32_t length,
                            Segment *out) noexcept nogil:
    cdef uint32_t header
    if length < 20:
        return MALFORMED
    if captured < 20:
        return CUT
    header = (packet[12] >> 4) * 4
    if header < 20 or header > length:
        return MALFORMED
    out.source.port = be16(packet)
    out.destination.port = be16(packet + 2)
    out.sequence = be32(packet + 4)
    out.acknowledgement = be32(packet + 8)
    out.flags = packet[13]
    out.length = length - header
    out.captured = captured - header if captured > header else 0
    out.data = packet + header
    return SEGMENT
