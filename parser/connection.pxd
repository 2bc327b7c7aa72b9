"""One WebSocket connection, both directions, from the request line to the last frame.

Sans-I/O and without Python objects.  Bytes come with their position; what is
missing is a gap.  All functions may be called without the GIL; one connection
must be used by one thread at a time.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from sockwarden.parser.body cimport Body
from sockwarden.parser.buffer cimport Buffer
from sockwarden.parser.events cimport Direction, Handler, Limits
from sockwarden.parser.frames cimport Frames
from sockwarden.parser.head cimport HeadState
from sockwarden.parser.preface cimport Preface
from sockwarden.parser.stream cimport Stream


# Where a direction is
cdef enum Phase:
    PHASE_HEAD = 0  # in a head
    PHASE_BODY      # in the body of an HTTP message before the handshake
    PHASE_WAIT      # behind its head; the other direction's is not known yet
    PHASE_FRAMES
    PHASE_OVER      # no WebSocket: nothing is parsed


# What a direction needs until the handshake is told
cdef struct Opening:
    HeadState scan
    Body body
    bint asked              # for the upgrade, and the body that was declared has not begun
    Buffer head             # the first Limits.head_bytes of it
    Buffer early            # what came in PHASE_WAIT, as many at most
    uint64_t early_missing  # behind `early`: lost, or beyond its bound


cdef struct Side:
    Stream stream
    uint8_t phase           # Phase
    uint8_t ended
    Opening *opening        # NULL in PHASE_FRAMES and PHASE_OVER
    Frames frames


cdef struct Connection:
    Limits limits
    Handler handler
    uint64_t bodiless    # of the unanswered ones, from bit 0 on: HEAD, whose response has no body
    uint32_t unanswered  # requests before the one that asks for the upgrade
    uint8_t told         # the handshake was
    uint8_t refused      # an earlier one was, and HTTP went on
    Preface preface      # before the client's first request
    Side side[2]         # by Direction


# What was not decoded, by Direction
cdef struct Losses:
    uint64_t undecoded_bytes[2]     # came, but where frames begin was not known any more
    uint64_t withheld_messages[2]   # compressed, but the context was lost or bad

# NULL: no memory.  `limits` and `handler` are copied.
cdef Connection *connection_new(const Limits *limits, const Handler *handler) noexcept nogil

# Right after connection_new: the connection was open before, and its bytes begin anywhere.  No
# handshake is told.  As nobody knows what was agreed on, permessage-deflate counts as agreed on,
# with the largest window and context takeover: that reads what was packed by any other
# parameters too.
cdef void connection_midstream(Connection *self) noexcept nogil

# Bytes at `position` of `direction`'s stream.  Earlier bytes than expected are
# ignored (seen already), later ones make a gap.  The first call of a direction
# fixes where its stream begins: at the head of a request, or of a response.
cdef void connection_feed(Connection *self, Direction direction, uint64_t position,
                          const uint8_t *data, size_t size) noexcept nogil

# No more bytes come.  `end` is the stream's length in the positions of feed, or 0: not known.
cdef void connection_end(Connection *self, Direction direction, uint64_t end) noexcept nogil

# Bytes of memory held for this connection.
cdef size_t connection_memory(const Connection *self) noexcept nogil

cdef Losses connection_losses(const Connection *self) noexcept nogil

cdef void connection_free(Connection *self) noexcept nogil
