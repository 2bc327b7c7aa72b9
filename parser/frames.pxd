"""One direction's frames: from bytes to headers to messages and control frames.

The header is a ladder that can stop at each octet (section 5.2 of RFC 6455).  Every
rule is judged at the octet that breaks it, then parsing goes on as peers that are
more forgiving would; frames.pyx says for each how.
"""

from libc.stdint cimport uint8_t, uint64_t

from sockwarden.parser.control cimport Control
from sockwarden.parser.events cimport Deflate, Direction, Handler, Limits
from sockwarden.parser.header cimport HEADER_BYTES, Header
from sockwarden.parser.messages cimport Messages
from sockwarden.parser.resync cimport Search

# Whether it is known where the next frame begins
cdef enum Step:
    IN_STEP = 0
    SEARCHING  # no
    STOPPED    # nothing more is decoded

cdef struct Frames:
    uint64_t offset         # of the next octet
    uint64_t left           # payload octets of the open frame to come
    Header header           # of the open frame
    uint8_t head[HEADER_BYTES]
    uint8_t head_have
    uint8_t extended        # octets of the extended length: 0, 2, 8
    uint8_t too_long        # said of this header
    uint8_t step            # Step
    uint8_t adrift          # whether a message is open is not known
    uint8_t ended
    uint8_t close_reported  # data_after_close was said
    uint64_t undecoded      # octets that were given up
    Search *search          # while SEARCHING
    Messages messages
    Control control

# `handler` and `limits` must outlive it.
cdef void frames_open(Frames *self, Direction direction, const Deflate *deflate,
                      const Limits *limits, const Handler *handler) noexcept nogil

# Right after frames_open: the first octet need not begin a frame, and others came before it.
cdef void frames_midstream(Frames *self) noexcept nogil

cdef void frames_feed(Frames *self, const uint8_t *data, size_t size) noexcept nogil

# `size` octets are missing here.
cdef void frames_gap(Frames *self, uint64_t size) noexcept nogil

# No more octets come.
cdef void frames_end(Frames *self) noexcept nogil

# Octets that came and were not decoded, or not yet.
cdef uint64_t frames_undecoded(const Frames *self) noexcept nogil

cdef size_t frames_memory(const Frames *self) noexcept nogil
cdef void frames_close(Frames *self) noexcept nogil
