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


cdef struct Frames:
    uint64_t offset         # of the next octet
    uint64_t left           # payload octets of the open frame to come
    Header header           # of the open frame
    uint8_t head[HEADER_BYTES]
    uint8_t head_have
    uint8_t extended        # octets of the extended length: 0, 2, 8
    uint8_t too_long        # said of this header
    uint8_t stopped         # where the next frame begins is not known
    uint8_t ended
    uint8_t close_reported  # data_after_close was said
    uint64_t undecoded      # octets that came after it stopped
    Messages messages
    Control control

# `handler` and `limits` must outlive it.
cdef void frames_open(Frames *self, Direction direction, const Deflate *deflate,
                      const Limits *limits, const Handler *handler) noexcept nogil

cdef void frames_feed(Frames *self, const uint8_t *data, size_t size) noexcept nogil

# `size` octets are missing here.
cdef void frames_gap(Frames *self, uint64_t size) noexcept nogil

# No more octets come.
cdef void frames_end(Frames *self) noexcept nogil

cdef size_t frames_memory(const Frames *self) noexcept nogil
cdef void frames_close(Frames *self) noexcept nogil
