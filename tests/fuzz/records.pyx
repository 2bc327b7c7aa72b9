"""Any records for the whole pipeline, rules and reports included.

The input reads like talk.pxd's: octets are what the client of connection 1 sends.  0xFF and an
octet say something else, as `command` tells.  What a connection's bytes are does not matter: no
error comes out, and what is held is freed with the pipeline.
"""

import traceback

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from cursor cimport Cursor, cursor_octet
from journal cimport fail
from sockwarden.parser.records cimport (
    SW_CLOSE, SW_DATA, SW_EXIT, SW_IPV4, SW_OPEN, sw_close, sw_open, sw_record)

from everything import PIPELINES, settle

cdef enum:
    MARK = 0xFF
    GAP_FROM = 0x80
    CONNECTIONS = 32
    RECORDS_BYTES = 1 << 20
    PIECE_BYTES = 4096


cdef struct Side:
    uint64_t positions[2]
    uint8_t role
    uint8_t source


cdef struct Writer:
    uint64_t now_ns
    size_t size
    uint32_t connection
    uint8_t flow
    Side sides[CONNECTIONS]
    uint8_t piece[PIECE_BYTES]
    uint32_t piece_size

cdef uint8_t[RECORDS_BYTES] RECORDS
cdef Writer WRITER


cdef void write(Writer *self, uint8_t kind, const void *data, uint32_t size,
                uint64_t position) noexcept nogil:
    cdef sw_record *record = <sw_record *>&RECORDS[self.size]
    cdef Side *side = &self.sides[self.connection]
    memset(record, 0, sizeof(sw_record))
    record.connection = self.connection + 1
    record.time_ns = self.now_ns
    record.position = position
    record.length = record.captured = size
    record.process = self.connection % 4
    record.kind = kind
    record.flow = self.flow
    record.source = side.source
    record.role = side.role
    if size:
        memcpy(record + 1, data, size)
    self.size += (sizeof(sw_record) + size + 7) & ~<size_t>7
    self.now_ns += 1_000_000


cdef void flush(Writer *self) noexcept nogil:
    cdef uint64_t *position = &self.sides[self.connection].positions[self.flow]
    if self.piece_size:
        write(self, SW_DATA, self.piece, self.piece_size, position[0])
        position[0] += self.piece_size
        self.piece_size = 0


cdef void open_connection(Writer *self, uint8_t how) noexcept nogil:
    cdef sw_open ends
    memset(&ends, 0, sizeof(ends))
    ends.family = how & 15 if how & 16 else <uint8_t>SW_IPV4
    ends.flags = how >> 5 & 1
    ends.local_port = 8080
    ends.remote_port = <uint8_t>(20_000 + self.connection)
    ends.local[0] = ends.remote[0] = 10
    self.sides[self.connection].role = how % 3
    self.sides[self.connection].source = how % 5
    self.sides[self.connection].positions = [0, 0]
    write(self, SW_OPEN, &ends, sizeof(ends), 0)


cdef void close_connection(Writer *self) noexcept nogil:
    cdef sw_close ends
    ends.end = self.sides[self.connection].positions
    write(self, SW_CLOSE, &ends, sizeof(ends), 0)


# 0x80 and above: so many octets are missing, less 0x7F.  Below, by its low three bits:
cdef void command(Writer *self, Cursor *input, uint8_t octet) noexcept nogil:
    cdef uint64_t *position = &self.sides[self.connection].positions[self.flow]
    cdef uint8_t what = octet & 7
    if octet >= GAP_FROM:
        position[0] += octet - GAP_FROM + 1
    elif what == 0:
        self.flow ^= 1
    elif what == 1:
        self.connection = octet >> 3
        self.flow = 0
    elif what == 2:
        open_connection(self, cursor_octet(input))
    elif what == 3:
        close_connection(self)
    elif what == 4:
        write(self, SW_EXIT, NULL, 0, 0)
    elif what == 5:  # far away, and with another record's fields
        position[0] += <uint64_t>cursor_octet(input) << (octet >> 3) * 4
    elif what == 6:
        self.now_ns += <uint64_t>1 << cursor_octet(input) % 63
    else:  # a record of no kind, or one that came before
        write(self, cursor_octet(input), self.piece, octet >> 3, position[0] - (octet >> 3))


cdef void write_all(Writer *self, Cursor *input) noexcept nogil:
    cdef uint8_t octet
    memset(self, 0, sizeof(Writer))
    self.now_ns = 1_000_000_000
    open_connection(self, 0x01)
    while input.size and self.size < RECORDS_BYTES - 4 * PIECE_BYTES:
        octet = cursor_octet(input)
        if octet == MARK and input.size and input.data[0] != MARK:
            flush(self)
            command(self, input, cursor_octet(input))
            continue
        if octet == MARK:
            cursor_octet(input)
        self.piece[self.piece_size] = octet
        self.piece_size += 1
        if self.piece_size == PIECE_BYTES:
            flush(self)
    flush(self)


cdef api int run(const uint8_t *data, size_t size) noexcept:
    cdef Cursor input = Cursor(data, size, 0)
    cdef uint8_t how = cursor_octet(&input)
    cursor_octet(&input)
    cursor_octet(&input)
    write_all(&WRITER, &input)
    try:
        whole = PIPELINES[how & 1]
        whole.feed(<uint8_t[:WRITER.size]>RECORDS)
        settle(whole)
    except Exception:
        traceback.print_exc()
        fail("an exception over records")
    return 0
