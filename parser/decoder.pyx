"""The parser for Python: frames of one direction, or whole connections.

Each call returns what it completed, in order.  For tools and tests; the agent's
pipeline uses the functions in the `.pxd` files and makes no object a message.
"""

import hashlib
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.ref cimport PyObject
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memset

from sockwarden.parser.connection cimport (
    Connection, Losses, connection_end, connection_feed, connection_free, connection_losses,
    connection_memory, connection_midstream, connection_new)
from sockwarden.parser.events cimport (
    C2S, CONTINUATION, DIGEST_CUT, INFLATED_BYTES, S2C, Anomaly as Kind, ControlEvent, Deflate,
    Direction, Handler, HandshakeEvent, Limits, MessageEvent)
from sockwarden.parser.frames cimport (
    Frames, frames_close, frames_end, frames_feed, frames_gap, frames_midstream, frames_open,
    frames_undecoded)

from sockwarden.parser.events import ANOMALY_KINDS, DIRECTIONS
from sockwarden.parser.handshake import Handshake

cdef tuple KINDS = ANOMALY_KINDS
cdef tuple NAMES = DIRECTIONS


cdef class Event:
    cdef tuple values(self):
        raise NotImplementedError

    def __eq__(self, other):
        return type(self) is type(other) and self.values() == (<Event>other).values()

    def __hash__(self):
        return hash(self.values())

    def __repr__(self):
        return f"{type(self).__name__}{self.values()!r}"


cdef class Message(Event):
    cdef readonly str dir
    cdef readonly int opcode
    cdef readonly object length
    cdef readonly bint compressed
    cdef readonly object fragments
    cdef readonly bint after_close
    cdef readonly bytes payload
    cdef readonly object wire_length
    cdef readonly object offset
    cdef readonly bint complete
    cdef readonly bint valid_utf8
    cdef bytes digest

    @property
    def sha256(self):
        if not self.complete:
            return None
        if self.digest is None and len(self.payload) == self.length:
            self.digest = hashlib.sha256(self.payload).digest()
        return None if self.digest is None else self.digest.hex()

    cdef tuple values(self):
        return (self.dir, self.opcode, self.length, self.sha256, self.compressed, self.fragments,
                self.after_close, self.payload, self.wire_length, self.offset, self.complete,
                self.valid_utf8)


cdef class Control(Event):
    cdef readonly str dir
    cdef readonly int opcode
    cdef readonly object length
    cdef readonly object code
    cdef readonly bint after_close
    cdef readonly bytes payload
    cdef readonly object offset

    cdef tuple values(self):
        return (self.dir, self.opcode, self.length, self.code, self.after_close, self.payload,
                self.offset)


cdef class Anomaly(Event):
    cdef readonly str dir
    cdef readonly str kind
    cdef readonly object offset

    cdef tuple values(self):
        return (self.dir, self.kind, self.offset)


cdef inline bytes copied(const uint8_t *data, size_t size):
    return PyBytes_FromStringAndSize(<const char *>data, size)


cdef Message message_of(Direction direction, const MessageEvent *event):
    cdef Message message = Message.__new__(Message)
    message.dir = NAMES[<int>direction]
    message.opcode = event.opcode
    message.length = event.length
    message.compressed = event.compressed
    message.fragments = event.fragments
    message.after_close = event.after_close
    message.payload = copied(event.payload, event.size)
    message.wire_length = event.wire_length
    message.offset = event.offset
    message.complete = event.complete
    message.valid_utf8 = event.valid_utf8
    if event.sha256 != NULL:
        message.digest = copied(event.sha256, 32)
    return message


# An exception in a callback (no memory) has no way through the parser: it waits in the
# collector until the call returns.
cdef class Collector:
    cdef list events
    cdef object error
    cdef Handler handler
    cdef Limits limits

    def __cinit__(self):
        self.events = []
        self.handler.user = <PyObject *>self
        self.handler.request = on_request
        self.handler.handshake = on_handshake
        self.handler.message = on_message
        self.handler.control = on_control
        self.handler.anomaly = on_anomaly
        self.limits.digest = DIGEST_CUT

    cdef list take(self):
        events = self.events
        self.events = []
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return events


cdef void on_request(void *user, const uint8_t *head, size_t size) noexcept nogil:
    pass  # the handshake brings the request again, with its answer


cdef void on_handshake(void *user, const HandshakeEvent *event) noexcept with gil:
    cdef Collector self = <Collector><PyObject *>user
    try:
        self.events.append(Handshake(
            copied(event.request, event.request_size) if event.request_size else b"",
            copied(event.response, event.response_size) if event.response_size else b"",
        ))
    except Exception as error:
        self.error = error


cdef void on_message(void *user, Direction direction, const MessageEvent *event) noexcept with gil:
    cdef Collector self = <Collector><PyObject *>user
    if event.opcode == CONTINUATION:
        return
    try:
        self.events.append(message_of(direction, event))
    except Exception as error:
        self.error = error


cdef void on_control(void *user, Direction direction, const ControlEvent *event) noexcept with gil:
    cdef Collector self = <Collector><PyObject *>user
    cdef Control control
    try:
        control = Control.__new__(Control)
        control.dir = NAMES[<int>direction]
        control.opcode = event.opcode
        control.length = event.length
        control.code = event.code if event.has_code else None
        control.after_close = event.after_close
        control.payload = copied(event.payload, event.size)
        control.offset = event.offset
        self.events.append(control)
    except Exception as error:
        self.error = error


cdef void on_anomaly(void *user, Direction direction, Kind kind, uint64_t offset) noexcept with gil:
    cdef Collector self = <Collector><PyObject *>user
    cdef Anomaly anomaly
    try:
        anomaly = Anomaly.__new__(Anomaly)
        anomaly.dir = NAMES[<int>direction]
        anomaly.kind = KINDS[<int>kind]
        anomaly.offset = offset
        self.events.append(anomaly)
    except Exception as error:
        self.error = error


cdef class DeflateParameters(Event):
    cdef readonly int window_bits
    cdef readonly bint no_context_takeover

    def __init__(self, window_bits=15, no_context_takeover=False):
        if not 8 <= window_bits <= 15:
            raise ValueError(f"window_bits is 8 to 15 (RFC 7692 section 7.1.2), not {window_bits}")
        self.window_bits = window_bits
        self.no_context_takeover = no_context_takeover

    cdef tuple values(self):
        return self.window_bits, self.no_context_takeover


cdef class FrameDecoder(Collector):
    cdef Frames frames

    def __init__(self, sender, deflate=None, *, message_bytes=16 << 20,
                 inflated_bytes=INFLATED_BYTES, synchronised=True):
        cdef Deflate parameters
        if sender not in ("client", "server"):
            raise ValueError(f"sender is 'client' or 'server', not {sender!r}")
        memset(&parameters, 0, sizeof(Deflate))
        if deflate is not None:
            parameters.enabled = True
            parameters.window_bits = deflate.window_bits
            parameters.no_context_takeover = deflate.no_context_takeover
        self.limits.message_bytes = message_bytes
        self.limits.inflated_bytes = inflated_bytes
        frames_close(&self.frames)
        frames_open(&self.frames, C2S if sender == "client" else S2C, &parameters, &self.limits,
                    &self.handler)
        if not synchronised:
            frames_midstream(&self.frames)

    def __dealloc__(self):
        frames_close(&self.frames)

    def feed(self, const uint8_t[::1] data not None):
        if data.shape[0]:
            frames_feed(&self.frames, &data[0], data.shape[0])
        return self.take()

    def gap(self, uint64_t size):
        frames_gap(&self.frames, size)
        return self.take()

    def end(self):
        frames_end(&self.frames)
        return self.take()

    @property
    def losses(self):
        return frames_undecoded(&self.frames), self.frames.messages.withheld_messages


cdef class ConnectionDecoder(Collector):
    cdef Connection *connection

    def __cinit__(self, *, synchronised=True, head_bytes=16_384, message_bytes=16 << 20,
                  inflated_bytes=INFLATED_BYTES):
        self.limits.head_bytes = head_bytes
        self.limits.message_bytes = message_bytes
        self.limits.inflated_bytes = inflated_bytes
        self.connection = connection_new(&self.limits, &self.handler)
        if self.connection == NULL:
            raise MemoryError
        if not synchronised:
            connection_midstream(self.connection)

    def __dealloc__(self):
        connection_free(self.connection)

    def feed(self, direction, uint64_t position, const uint8_t[::1] data not None):
        connection_feed(self.connection, <Direction><int>NAMES.index(direction), position,
                        &data[0] if data.shape[0] else NULL, data.shape[0])
        return self.take()

    def end(self, direction, uint64_t position=0):
        connection_end(self.connection, <Direction><int>NAMES.index(direction), position)
        return self.take()

    @property
    def memory(self):
        return connection_memory(self.connection)

    @property
    def losses(self):
        cdef Losses losses = connection_losses(self.connection)
        return {
            name: (losses.undecoded_bytes[at], losses.withheld_messages[at])
            for at, name in enumerate(NAMES)
        }
