"""Records on their way from a file to the pipeline.

A source writes records as the kernel's probe does (parser/records.h) and the batch hands them on
in one call for some hundred of them, so that the boundary to the pipeline costs nothing per
packet.  One batch lives for one run over several files: it numbers the connections of all of
them and adds up what could not be judged.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
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
    SW_READ,
    SW_WRITE,
    sw_close,
    sw_open,
    sw_record,
)

cdef enum:
    BATCH_BYTES = 256 * 1024
    # Of a single record; longer data is split.
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

    cdef int open(self, Told *told, uint64_t time_ns, const sw_open *ends) except -1:
        self._connections += 1
        told.connection = self._connections
        told.generation += 1
        told.sent = [0, 0]
        return self._put(told, SW_OPEN, time_ns, ends, sizeof(sw_open), sizeof(sw_open))

    cdef int data(self, Told *told, int flow, uint64_t time_ns, const uint8_t *data,
                  size_t size) except -1:
        cdef size_t piece
        while size:
            piece = min(size, <size_t>RECORD_BYTES)
            self._put(told, SW_DATA, time_ns, data, piece, piece, flow)
            told.sent[flow] += piece
            data += piece
            size -= piece
        return 0

    cdef int missing(self, Told *told, int flow, uint64_t time_ns, uint64_t size) except -1:
        if told.sent[flow] == 0 and size:
            # The position of a stream's first record says where it begins.
            self._put(told, SW_DATA, time_ns, NULL, 0, size, flow)
        told.sent[flow] += size
        return 0

    cdef int close(self, Told *told, uint64_t time_ns, const uint64_t *missing) except -1:
        cdef sw_close ends
        ends.end = [told.sent[0] + missing[0], told.sent[1] + missing[1]]
        return self._put(told, SW_CLOSE, time_ns, &ends, sizeof(ends), sizeof(ends))

    cdef int _put(self, const Told *told, int kind, uint64_t time_ns, const void *data,
                  size_t size, uint64_t length, int flow=0) except -1:
        cdef sw_record header
        header.connection = told.connection
        header.time_ns = time_ns
        header.position = told.sent[flow] if kind == SW_DATA else 0
        header.length = length
        header.captured = <uint32_t>size
        header.generation = told.generation
        header.process = 0
        header.kind = <uint8_t>kind
        header.flow = <uint8_t>flow
        header.source = SW_FILE
        header.role = told.role
        return self._append(&header, <const uint8_t *>data, size)

    cdef int _append(self, const sw_record *header, const uint8_t *data,
                     size_t captured) except -1:
        cdef size_t size = (sizeof(sw_record) + captured + 7) & ~<size_t>7
        cdef sw_record *place
        if size > BATCH_BYTES - self._used:
            self.flush()
        place = <sw_record *>(self._bytes + self._used)
        place[0] = header[0]
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


cdef class ClientConnection:
    """A connection as its client tells it, begun with this object."""

    def __init__(self, RecordBatch batch not None, uint64_t time_ns, bytes address not None,
                 uint16_t port):
        """`address` is the server's: 4 or 16 octets, or empty where it is not known."""
        cdef sw_open ends
        memset(&ends, 0, sizeof(ends))
        self._batch = batch
        self._told.role = SW_CLIENT
        ends.fd = -1
        ends.family = {0: SW_NO_ADDRESS, 4: SW_IPV4, 16: SW_IPV6}[len(address)]
        ends.remote_port = port if address else 0
        memcpy(ends.remote, <const char *>address, len(address))
        batch.open(&self._told, time_ns, &ends)

    @property
    def number(self):
        return self._told.connection

    def read(self, uint64_t time_ns, bytes data not None):
        """What the client read next."""
        self._batch.data(&self._told, SW_READ, time_ns, data, len(data))

    def write(self, uint64_t time_ns, bytes data not None):
        """What the client wrote next."""
        self._batch.data(&self._told, SW_WRITE, time_ns, data, len(data))

    def close(self, uint64_t time_ns):
        """Nothing more comes."""
        cdef uint64_t nothing[2]
        nothing = [0, 0]
        self._batch.close(&self._told, time_ns, nothing)
