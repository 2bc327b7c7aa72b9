"""Records on their way from a file to the pipeline.

A source writes records as the kernel's probe does (parser/records.h) and the batch hands them on
in one call for some hundred of them, so that the boundary to the pipeline costs nothing per
packet.  One batch lives for one run over several files: it numbers the connections of all of
them and adds up what could not be judged.
"""

from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy, memset

from sockwarden.parser.records cimport (
    SW_CLIENT,
    SW_CLOSE,
    SW_DATA,
    SW_FILE,
    SW_IPV4,
    SW_IPV6,
    SW_NO_ADDRESS,
    SW_OPEN,
    sw_close,
    sw_open,
    sw_record,
)

cdef enum:
    BATCH_BYTES = 256 * 1024
    # Of a single record; libpcap hands out no packet above 256 KiB, longer data is split.
    RECORD_BYTES = BATCH_BYTES - sizeof(sw_record)


cdef class RecordBatch:
    def __init__(self, pipeline):
        self.pipeline = pipeline
        self.lost = {}
        self._buffer = bytearray(BATCH_BYTES)
        self._bytes = self._buffer

    def count(self, str reason, uint64_t amount=1):
        """Adds to what was lost for `reason`."""
        self.lost[reason] = self.lost.get(reason, 0) + amount

    cdef uint64_t number(self) noexcept:
        self._connections += 1
        return self._connections

    cdef int put(self, const sw_record *header, const void *data) except -1:
        cdef sw_record piece = header[0]
        cdef const uint8_t *cursor = <const uint8_t *>data
        while piece.captured > RECORD_BYTES:
            self._append(&piece, cursor, RECORD_BYTES)
            cursor += RECORD_BYTES
            piece.position += RECORD_BYTES
            piece.length -= RECORD_BYTES
            piece.captured -= RECORD_BYTES
        return self._append(&piece, cursor, piece.captured)

    cdef int _append(self, const sw_record *header, const uint8_t *data,
                     size_t captured) except -1:
        cdef size_t size = (sizeof(sw_record) + captured + 7) & ~<size_t>7
        cdef sw_record *place
        if size > BATCH_BYTES - self._used:
            self.flush()
        place = <sw_record *>(self._bytes + self._used)
        place[0] = header[0]
        place.captured = captured
        if captured:
            memcpy(place + 1, data, captured)
        self._used += size
        if header.kind == SW_DATA:
            self.captured_bytes += captured
        return 0

    cpdef int flush(self) except -1:
        """Gives the records so far to the pipeline and its findings to the sink."""
        cdef size_t used = self._used
        if used:
            self._used = 0
            with memoryview(self._buffer) as whole, whole[:used] as records:
                self.pipeline.feed(records)
        self.pipeline.deliver()
        return 0

    def open_client(self, uint64_t time_ns, bytes address, uint16_t port):
        """Opens a connection as its client saw it; returns its number.

        `address` is the server's: 4 or 16 octets, or empty where it is not known.
        """
        cdef sw_record header
        cdef sw_open data
        memset(&header, 0, sizeof(header))
        memset(&data, 0, sizeof(data))
        header.connection = self.number()
        header.time_ns = time_ns
        header.length = header.captured = sizeof(data)
        header.kind = SW_OPEN
        header.source = SW_FILE
        header.role = SW_CLIENT
        data.fd = -1
        data.family = {0: SW_NO_ADDRESS, 4: SW_IPV4, 16: SW_IPV6}[len(address)]
        data.remote_port = port if address else 0
        memcpy(data.remote, <const char *>address, len(address))
        self.put(&header, &data)
        return header.connection

    def data_client(self, uint64_t connection, uint64_t time_ns, int flow, uint64_t position,
                    const uint8_t[::1] data not None):
        """Bytes that a client read or wrote (enum sw_flow) at `position`."""
        cdef sw_record header
        memset(&header, 0, sizeof(header))
        if not data.shape[0]:
            return
        header.connection = connection
        header.time_ns = time_ns
        header.position = position
        header.length = header.captured = data.shape[0]
        header.kind = SW_DATA
        header.flow = flow
        header.source = SW_FILE
        header.role = SW_CLIENT
        self.put(&header, &data[0])

    def close_client(self, uint64_t connection, uint64_t time_ns, uint64_t read, uint64_t written):
        """The end of a connection of which `read` and `written` bytes were told."""
        cdef sw_record header
        cdef sw_close data
        memset(&header, 0, sizeof(header))
        header.connection = connection
        header.time_ns = time_ns
        header.length = header.captured = sizeof(data)
        header.kind = SW_CLOSE
        header.source = SW_FILE
        header.role = SW_CLIENT
        data.end = [read, written]
        self.put(&header, &data)
