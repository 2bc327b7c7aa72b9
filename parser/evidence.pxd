"""What speaks for octets being a frame: the weights that resync.pyx adds up.

Evidence is in bits, rounded down: log2 of how much likelier these octets are in a stream of
frames than in octets that come at random.  Only what a stream of frames rarely breaks is asked
for, and what breaks it is IMPOSSIBLE, so that a chain of frames that a sender made ends at none.
"""

from libc.stdint cimport uint8_t, uint64_t

from sockwarden.parser.events cimport Deflate, Direction
from sockwarden.parser.header cimport LENGTH_16, LENGTH_64, Header
from sockwarden.parser.workspace cimport Workspace
from sockwarden.parser.zlib cimport z_stream

cdef enum:
    IMPOSSIBLE = -1000
    CHECKED_BYTES = 2048  # of a payload are looked at
    NO_FRAME = 0          # of frame_begins
    NOT_WHOLE = -1


# Where the sender is in its message
cdef enum Stand:
    STAND_UNKNOWN = 0
    STAND_TORN    # as unknown; a message was open when octets were lost
    STAND_OUTSIDE
    STAND_INSIDE
    STAND_CLOSED  # a Close came: nothing follows (RFC 6455 5.5.1)


# What a chain says of the next frame.
cdef struct Manner:
    uint8_t stand  # Stand
    uint8_t usual  # first octet of the last message, 0: none was seen
    uint8_t form   # of the last data frame's length: 0, LENGTH_16, LENGTH_64


# What is known of the sender.
cdef struct Sender:
    Direction direction
    Deflate deflate
    Manner manner        # as it was before octets were lost
    uint8_t first        # of the last data frame then,
    uint64_t length      # and its length
    z_stream *zlib       # for payload_evidence

cdef inline uint8_t form_of(uint64_t length) noexcept nogil:
    return LENGTH_64 if length >> 16 else LENGTH_16 if length >= LENGTH_16 else 0

# The size of the header that begins here; NO_FRAME; NOT_WHOLE: that depends on octets to come.
cdef int frame_begins(const Sender *self, const uint8_t *data, size_t have,
                      Header *header) noexcept nogil

# Of a header behind `manner`, which it changes; or IMPOSSIBLE.
cdef int header_evidence(Manner *manner, const Header *header) noexcept nogil

# Of a payload of `size` octets as they came; or IMPOSSIBLE.
cdef int payload_evidence(Sender *self, Workspace *space, const Header *header,
                          const uint8_t *data, size_t size) noexcept nogil

cdef void sender_free(Sender *self) noexcept nogil
