"""The least that a consumer of `parser/frames.pxd` can do; for decoder_native.py.

Counts what it is told, or hands it to a Python function to be compared.  The stream is cut
into chunks and fed in one loop without the GIL, as the C peers' `main` does it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.ref cimport PyObject
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memset

from sockwarden.parser.events cimport (
    C2S, DIGEST_CUT, INFLATED_BYTES, S2C, Anomaly, ControlEvent, Deflate, Direction, Handler,
    HandshakeEvent, Limits, MessageEvent)
from sockwarden.parser.frames cimport Frames, frames_close, frames_feed, frames_open

cdef enum:
    MESSAGE_BYTES = 16 << 20  # FrameDecoder's default


cdef struct Tally:
    size_t events
    size_t payload_bytes
    size_t anomalies
    unsigned int touched  # so that a payload's first byte is read


cdef void no_request(void *user, const uint8_t *head, size_t size) noexcept nogil:
    pass


cdef void no_handshake(void *user, const HandshakeEvent *event) noexcept nogil:
    pass


cdef void count_message(void *user, Direction direction, const MessageEvent *event) noexcept nogil:
    cdef Tally *tally = <Tally *>user
    tally.events += 1
    tally.payload_bytes += event.size
    tally.touched += event.opcode + (event.payload[0] if event.size else 0)


cdef void count_control(void *user, Direction direction, const ControlEvent *event) noexcept nogil:
    cdef Tally *tally = <Tally *>user
    tally.events += 1
    tally.payload_bytes += event.size
    tally.touched += event.opcode


cdef void count_anomaly(void *user, Direction direction, Anomaly kind,
                        uint64_t offset) noexcept nogil:
    (<Tally *>user).anomalies += 1


cdef void hand_message(void *user, Direction direction,
                       const MessageEvent *event) noexcept with gil:
    (<object><PyObject *>user)(
        event.opcode, PyBytes_FromStringAndSize(<const char *>event.payload, event.size))


cdef void hand_control(void *user, Direction direction,
                       const ControlEvent *event) noexcept with gil:
    (<object><PyObject *>user)(
        event.opcode, PyBytes_FromStringAndSize(<const char *>event.payload, event.size))


cdef void ignore_anomaly(void *user, Direction direction, Anomaly kind,
                         uint64_t offset) noexcept nogil:
    pass


cdef void feed_all(const Handler *handler, bytes stream, size_t chunk, bint masked, bint deflate):
    cdef const uint8_t *data = <const uint8_t *>PyBytes_AS_STRING(stream)
    cdef size_t left = len(stream), some
    cdef Deflate parameters = Deflate(deflate, False, 15 if deflate else 0)
    cdef Limits limits
    cdef Frames frames
    memset(&limits, 0, sizeof(Limits))
    limits.message_bytes = MESSAGE_BYTES
    limits.inflated_bytes = INFLATED_BYTES
    limits.digest = DIGEST_CUT
    with nogil:
        frames_open(&frames, C2S if masked else S2C, &parameters, &limits, handler)
        while left:
            some = min(chunk, left)
            frames_feed(&frames, data, some)
            data += some
            left -= some
        frames_close(&frames)


def count(bytes stream, size_t chunk, bint masked, bint deflate):
    """Messages and control frames in the stream; ValueError at an anomaly."""
    cdef Tally tally
    cdef Handler handler = Handler(
        &tally, no_request, no_handshake, count_message, count_control, count_anomaly)
    memset(&tally, 0, sizeof(Tally))
    feed_all(&handler, stream, chunk, masked, deflate)
    if tally.anomalies:
        raise ValueError(f"{tally.anomalies} anomalies in a stream that has none")
    return tally.events


def hand_over(bytes stream, size_t chunk, bint masked, bint deflate, consume):
    """Calls consume(opcode, payload) for each."""
    cdef Handler handler = Handler(
        <PyObject *>consume, no_request, no_handshake, hand_message, hand_control, ignore_anomaly)
    feed_all(&handler, stream, chunk, masked, deflate)
