"""Capture files of the newer format, pcapng (draft-ietf-opsawg-pcapng).

Read here and not through libpcap, because libpcap refuses ordinary files: those whose interfaces
differ in link type or snapshot length, as a capture on `any` and `lo` or a merge of two files.
Packets of a link type that is not read are counted and passed over, as are blocks without packets.

A block is looked at when all of it is there, and bounded before it is.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from sockwarden.agent.sources.batch cimport RecordBatch
from sockwarden.agent.sources.capture cimport Capture
from sockwarden.agent.sources.packets cimport link_known

from sockwarden.agent.sources import SourceError

cdef enum:
    READ_BYTES = 1024 * 1024
    BLOCK_BYTES_MAX = 16 * 1024 * 1024
    INTERFACES_MAX = 65_536       # of a section

# Section 4, by block type
cdef enum:
    SECTION_HEADER = 0x0A0D0D0A   # the same in both byte orders
    INTERFACE_DESCRIPTION = 1
    PACKET = 2                    # obsolete, still found
    SIMPLE_PACKET = 3
    ENHANCED_PACKET = 6
    BYTE_ORDER = 0x1A2B3C4D
    BYTE_ORDER_SWAPPED = 0x4D3C2B1A
    OPTION_END = 0
    OPTION_RESOLUTION = 9         # if_tsresol
    OPTION_OFFSET = 14            # if_tsoffset

cdef uint64_t NS_PER_SECOND = 1_000_000_000


cdef struct Interface:
    int link
    uint32_t snapshot
    uint64_t units_per_second
    uint64_t offset_seconds


cdef inline uint16_t swap16(uint16_t value) noexcept nogil:
    return <uint16_t>(value >> 8 | value << 8)


cdef inline uint32_t swap32(uint32_t value) noexcept nogil:
    return <uint32_t>swap16(<uint16_t>value) << 16 | swap16(<uint16_t>(value >> 16))


cdef class _Reader:
    cdef object file
    cdef Capture capture
    cdef RecordBatch batch
    cdef bytes data          # what was read and not yet consumed begins at `at`
    cdef size_t at
    cdef uint64_t offset     # of `data` in the file
    cdef bint swapped
    cdef list interfaces     # bytes of struct Interface

    def __init__(self, file, RecordBatch batch not None):
        self.file = file
        self.batch = batch
        self.capture = Capture(batch)
        self.data = b""
        self.interfaces = []

    def read(self):
        try:
            while self.more(12):
                self.block()
            if len(self.data) > self.at:
                raise self.error("the file ends inside a block's header")
        finally:
            self.capture.finish()

    def error(self, reason):
        return SourceError(f"byte {self.offset + self.at}", reason)

    cdef bint more(self, size_t size) except -1:
        """Whether `size` octets are there, after reading as far as needed."""
        cdef size_t there = len(self.data) - self.at
        if there >= size:
            return True
        parts = [self.data[self.at:]]
        while there < size:
            part = self.file.read(READ_BYTES)
            if not part:
                break
            parts.append(part)
            there += len(part)
        self.offset += self.at
        self.data = b"".join(parts)
        self.at = 0
        return there >= size

    cdef inline const uint8_t *octets(self) noexcept:
        return <const uint8_t *>self.data + self.at

    cdef inline uint32_t u32(self, const uint8_t *place) noexcept:
        cdef uint32_t value
        memcpy(&value, place, 4)
        return swap32(value) if self.swapped else value

    cdef inline uint16_t u16(self, const uint8_t *place) noexcept:
        cdef uint16_t value
        memcpy(&value, place, 2)
        return swap16(value) if self.swapped else value

    cdef int block(self) except -1:
        cdef uint32_t kind = self.u32(self.octets()), size
        if kind == SECTION_HEADER:
            self.byte_order()
        size = self.u32(self.octets() + 4)
        if size < 12 or size % 4 or size > BLOCK_BYTES_MAX:
            raise self.error(f"a block of {size} bytes")
        if not self.more(size):
            raise self.error(f"the file ends inside a block of {size} bytes")
        if self.u32(self.octets() + size - 4) != size:
            raise self.error("a block whose two lengths differ")
        self.body(kind, self.octets() + 8, size - 12)
        self.at += size
        return 0

    cdef int byte_order(self) except -1:
        cdef uint32_t order
        memcpy(&order, self.octets() + 8, 4)
        if order != BYTE_ORDER and order != BYTE_ORDER_SWAPPED:
            raise self.error("a section without a byte order")
        self.swapped = order == BYTE_ORDER_SWAPPED
        return 0

    cdef int body(self, uint32_t kind, const uint8_t *body, uint32_t size) except -1:
        if kind == ENHANCED_PACKET and size >= 20:
            return self.packet(self.u32(body), body + 4, body + 20, size - 20)
        if kind == PACKET and size >= 20:
            return self.packet(self.u16(body), body + 4, body + 20, size - 20)
        if kind == SIMPLE_PACKET and size >= 4:
            return self.simple_packet(self.u32(body), body + 4, size - 4)
        if kind == INTERFACE_DESCRIPTION and size >= 8:
            return self.interface(body, size)
        if kind == SECTION_HEADER and size >= 16:
            if self.u16(body + 4) != 1:
                raise self.error(f"a section of version {self.u16(body + 4)}")
            self.interfaces.clear()
            return 0
        if kind in (ENHANCED_PACKET, PACKET, SIMPLE_PACKET, INTERFACE_DESCRIPTION,
                    SECTION_HEADER):
            raise self.error("a block shorter than its fields")
        return 0

    cdef int interface(self, const uint8_t *body, uint32_t size) except -1:
        cdef Interface interface
        cdef uint32_t at = 8, length
        cdef uint16_t option
        if len(self.interfaces) == INTERFACES_MAX:
            raise self.error(f"more than {INTERFACES_MAX} interfaces")
        interface.link = self.u16(body)
        interface.snapshot = self.u32(body + 4)
        interface.units_per_second = 1_000_000
        interface.offset_seconds = 0
        while at + 4 <= size:
            option = self.u16(body + at)
            length = self.u16(body + at + 2)
            at += 4
            if option == OPTION_END:
                break
            if length > size - at:
                raise self.error("an option longer than its block")
            if option == OPTION_RESOLUTION and length >= 1:
                interface.units_per_second = self.resolution(body[at])
            elif option == OPTION_OFFSET and length >= 8:
                interface.offset_seconds = (
                    <uint64_t>self.u32(body + at + (0 if self.swapped else 4)) << 32
                    | self.u32(body + at + (4 if self.swapped else 0)))
            at += (length + 3) & ~3
        self.interfaces.append((<const uint8_t *>&interface)[:sizeof(interface)])
        return 0

    cdef uint64_t resolution(self, uint8_t value) except 0:
        # Section 4.2: the top bit says powers of 2, else of 10.
        cdef unsigned int exponent = value & 0x7F
        cdef uint64_t units = 1
        if value & 0x80 and exponent <= 63:
            return units << exponent
        if not value & 0x80 and exponent <= 19:
            for _ in range(exponent):
                units *= 10
            return units
        raise self.error(f"a timestamp resolution of {value:#x}")

    cdef int simple_packet(self, uint32_t length, const uint8_t *data, uint32_t size) except -1:
        # Without a timestamp, and without the captured length: the snapshot length tells it.
        cdef const Interface *interface = self.find(0)
        cdef uint32_t captured = length
        if interface.snapshot:
            captured = min(captured, interface.snapshot)
        if captured > size:
            raise self.error("a packet longer than its block")
        return self.tell(interface, 0, data, captured, length)

    cdef int packet(self, uint32_t number, const uint8_t *fields, const uint8_t *data,
                    uint32_t size) except -1:
        cdef const Interface *interface = self.find(number)
        cdef uint64_t time = <uint64_t>self.u32(fields) << 32 | self.u32(fields + 4)
        cdef uint32_t captured = self.u32(fields + 8)
        if captured > size:
            raise self.error("a packet longer than its block")
        return self.tell(interface, nanoseconds(interface, time), data, captured,
                         self.u32(fields + 12))

    cdef const Interface *find(self, uint32_t number) except NULL:
        if number >= <size_t>len(self.interfaces):
            raise self.error(f"a packet of interface {number}, which is not described")
        return <const Interface *><const uint8_t *>(<bytes>self.interfaces[number])

    cdef int tell(self, const Interface *interface, uint64_t time_ns, const uint8_t *data,
                  uint32_t captured, uint32_t length) except -1:
        if not link_known(interface.link):
            self.batch.count("packets_of_unread_link_types")
            return 0
        return self.capture.packet(interface.link, time_ns, data, captured, length)


cdef uint64_t nanoseconds(const Interface *interface, uint64_t time) noexcept nogil:
    cdef uint64_t units = interface.units_per_second
    cdef uint64_t seconds = time / units + interface.offset_seconds
    cdef uint64_t rest = time % units
    if units > NS_PER_SECOND:  # finer than nanoseconds; divided first: no overflow
        rest = <uint64_t>(<double>rest / <double>units * <double>NS_PER_SECOND)
    else:
        rest = rest * NS_PER_SECOND / units
    return seconds * NS_PER_SECOND + rest


class _Pcapng:
    name = "pcapng"

    def recognises(self, head):
        return head[:4] == b"\x0a\x0d\x0d\x0a"

    def read(self, file, RecordBatch batch not None):
        _Reader(file, batch).read()


SOURCE = _Pcapng()
