# distutils: libraries = pcap
"""Capture files of the older format, pcap, read through libpcap.

Timestamps in nanoseconds, whatever the file's resolution.  The file is given to libpcap as a
stream of octets, so it may be a pipe.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdio cimport FILE, fclose
from libc.string cimport memcpy
from posix.types cimport suseconds_t, time_t

from sockwarden.agent.sources.batch cimport RecordBatch
from sockwarden.agent.sources.capture cimport Capture
from sockwarden.agent.sources.packets cimport link_known

from sockwarden.agent.sources import SourceError

cdef extern from "stdio.h":
    ctypedef struct cookie_io_functions_t:
        Py_ssize_t (*read)(void *cookie, char *buffer, size_t size) noexcept
        void *write
        void *seek
        void *close
    FILE *fopencookie(void *cookie, const char *mode, cookie_io_functions_t functions)
    int setvbuf(FILE *stream, char *buffer, int mode, size_t size)
    enum: _IOFBF

cdef extern from "<sys/time.h>":
    struct timeval:
        time_t tv_sec
        suseconds_t tv_usec

cdef extern from "pcap/pcap.h" nogil:
    ctypedef struct pcap_t:
        pass
    struct pcap_pkthdr:
        timeval ts
        uint32_t caplen
        uint32_t len
    enum: PCAP_ERRBUF_SIZE, PCAP_TSTAMP_PRECISION_NANO
    int PCAP_ERROR_BREAK
    pcap_t *pcap_fopen_offline_with_tstamp_precision(FILE *file, uint32_t precision, char *error)
    int pcap_next_ex(pcap_t *capture, pcap_pkthdr **header, const uint8_t **data)
    int pcap_datalink(pcap_t *capture)
    const char *pcap_datalink_val_to_name(int link)
    char *pcap_geterr(pcap_t *capture)
    void pcap_close(pcap_t *capture)

cdef enum:
    READ_BYTES = 256 * 1024

# The first four octets: in both byte orders with micro- and nanoseconds, and
# the variant of patched kernels that libpcap reads too.
MAGIC = frozenset(
    bytes.fromhex(octets)
    for octets in ("a1b2c3d4", "d4c3b2a1", "a1b23c4d", "4d3cb2a1", "a1b2cd34", "34cdb2a1")
)


cdef class _Stream:
    """What libpcap reads from, and what went wrong there."""
    cdef object file
    cdef object error

    def __init__(self, file):
        self.file = file


cdef Py_ssize_t read_stream(void *cookie, char *buffer, size_t size) noexcept:
    stream = <_Stream>cookie
    try:
        data = stream.file.read(size)
        memcpy(buffer, <const char *>data, len(data))
        return len(data)
    except BaseException as error:  # raised again where libpcap has returned
        stream.error = error
        return -1


cdef pcap_t *open_capture(_Stream stream) except NULL:
    cdef char reason[PCAP_ERRBUF_SIZE]
    cdef cookie_io_functions_t functions
    cdef FILE *file
    cdef pcap_t *capture
    functions.read = read_stream
    functions.write = functions.seek = functions.close = NULL
    file = fopencookie(<void *>stream, "rb", functions)
    if file == NULL:
        raise MemoryError
    setvbuf(file, NULL, _IOFBF, READ_BYTES)
    reason[0] = 0
    capture = pcap_fopen_offline_with_tstamp_precision(file, PCAP_TSTAMP_PRECISION_NANO, reason)
    if capture == NULL:
        fclose(file)
        if stream.error is not None:
            raise stream.error
        raise SourceError("file header", reason.decode(errors="replace"))
    return capture


cdef int read_packets(pcap_t *stream, Capture capture) except 0:
    """Puts every packet into the capture; returns the status that ended it, never 0."""
    cdef pcap_pkthdr *header = NULL
    cdef const uint8_t *data = NULL
    cdef int link = pcap_datalink(stream), status
    if not link_known(link):
        name = pcap_datalink_val_to_name(link)
        raise SourceError("file header", "packets of link type {} are not read".format(
            str(link) if name is NULL else (<bytes>name).decode()))
    while True:
        status = pcap_next_ex(stream, &header, &data)
        if status != 1:
            return status
        capture.packet(link, time_ns(header), data, header.caplen, header.len)


cdef inline uint64_t time_ns(const pcap_pkthdr *header) noexcept nogil:
    # With PCAP_TSTAMP_PRECISION_NANO the field holds nanoseconds.
    return <uint64_t>header.ts.tv_sec * 1_000_000_000 + <uint64_t>header.ts.tv_usec


class _Pcap:
    name = "pcap"

    def recognises(self, head):
        return head[:4] in MAGIC

    def read(self, file, RecordBatch batch not None):
        cdef Capture capture = Capture(batch)
        cdef _Stream stream = _Stream(file)
        cdef pcap_t *packets = open_capture(stream)
        cdef int status
        try:
            status = read_packets(packets, capture)
            if stream.error is not None:
                raise stream.error
            if status != PCAP_ERROR_BREAK:  # which means here: no more packets
                raise SourceError(f"packet {capture.packets + 1}",
                                  pcap_geterr(packets).decode(errors="replace"))
        finally:
            pcap_close(packets)
            capture.finish()


SOURCE = _Pcap()
