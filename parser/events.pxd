"""What the parser tells, and to whom: the contract of the hot path.

Callbacks run without the GIL, must not fail, and must not feed a connection.
Every pointer in an event is valid during the call only.  Payloads are unmasked,
joined and inflated.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef enum Direction:
    C2S = 0  # client to server: masked (RFC 6455 5.1)
    S2C = 1


# RFC 6455 section 5.2 and 11.8
cdef enum Opcode:
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


# In the order of ANOMALY_KINDS in events.pyx, which holds the names.
cdef enum Anomaly:
    RESERVED_OPCODE
    RSV_BITS
    CONTROL_FRAGMENTED
    CONTROL_TOO_LONG
    UNEXPECTED_CONTINUATION
    EXPECTED_CONTINUATION
    INVALID_UTF8
    INVALID_CLOSE_CODE
    INVALID_CLOSE_PAYLOAD
    UNMASKED_CLIENT
    MASKED_SERVER
    LENGTH_NOT_MINIMAL
    LENGTH_OVERFLOW
    INFLATE_ERROR
    DATA_AFTER_CLOSE
    TRUNCATED
    GAP
    ANOMALY_COUNT


# permessage-deflate (RFC 7692 7.1) of one direction, as negotiated
cdef struct Deflate:
    bint enabled
    bint no_context_takeover
    uint8_t window_bits  # 8..15


# The heads as they came, with what the parser itself must know of them.
# sockwarden.parser.handshake.Handshake reads the rest, once a connection.
cdef struct HandshakeEvent:
    const uint8_t *request   # up to and with the empty line; cut at Limits.head_bytes
    size_t request_size
    const uint8_t *response  # NULL: none came
    size_t response_size
    uint16_t status          # 0: no response, or not HTTP
    bint upgraded            # frames follow: 101, or the response is lost and the client sends them
    Deflate deflate[2]       # by Direction; both off without the extension


cdef struct MessageEvent:
    const uint8_t *payload   # the first `size` bytes of it, bytes that are missing as 0
    size_t size              # less than length: cut at Limits.message_bytes, or memory is short
    uint64_t length          # true length, inflated
    uint64_t wire_length     # payload bytes in its frames, compressed
    uint64_t offset          # of its first frame in its direction's WebSocket stream
    const uint8_t *sha256    # 32 bytes of the whole payload; NULL: not asked for, or bytes missing
    uint32_t fragments       # data frames, 1: not fragmented
    uint8_t opcode           # TEXT, BINARY; CONTINUATION: a frame that continued nothing
    bint compressed
    bint after_close
    bint valid_utf8          # true for BINARY
    bint complete            # no byte of it is missing


cdef struct ControlEvent:
    const uint8_t *payload
    size_t size              # 0..125, or cut there
    uint64_t length
    uint64_t offset          # of its frame
    uint16_t code            # CLOSE: status code (RFC 6455 7.1.5)
    bint has_code            # CLOSE with two octets or more
    uint8_t opcode           # CLOSE, PING, PONG
    bint after_close


cdef struct Handler:
    void *user
    # The head of the request that asks for the upgrade, before it is answered.
    void (*request)(void *user, const uint8_t *head, size_t size) noexcept nogil
    void (*handshake)(void *user, const HandshakeEvent *event) noexcept nogil
    void (*message)(void *user, Direction direction, const MessageEvent *event) noexcept nogil
    void (*control)(void *user, Direction direction, const ControlEvent *event) noexcept nogil
    # offset: of the octet that broke the rule, in its direction's WebSocket
    # stream (0: the first octet behind the handshake)
    void (*anomaly)(void *user, Direction direction, Anomaly kind, uint64_t offset) noexcept nogil


# Of which messages MessageEvent.sha256 is filled
cdef enum Digests:
    DIGEST_NONE
    DIGEST_ALL
    DIGEST_CUT  # only of those that are longer than Limits.message_bytes


cdef enum:
    INFLATED_BYTES = 1 << 30  # the usual Limits.inflated_bytes: ten times what common peers take


# Bounds before buffers: what one connection may cost.
cdef struct Limits:
    uint32_t head_bytes      # of each handshake head
    # Of a message kept for the consumer; the rest is unmasked, inflated, validated,
    # hashed and dropped.
    uint64_t message_bytes
    uint64_t inflated_bytes  # of a compressed message; it is not inflated any further
    uint8_t digest           # Digests
