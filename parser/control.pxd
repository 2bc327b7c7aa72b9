"""Control frames and the rules of Close (RFC 6455 sections 5.5 and 7.4)."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from sockwarden.parser.events cimport Direction, Handler
from sockwarden.parser.header cimport Header
from sockwarden.parser.utf8 cimport Utf8
from sockwarden.parser.workspace cimport Workspace


cdef struct Control:
    const uint8_t *payload  # where it is: the thread's scratch, or `kept`
    uint8_t *kept           # of a frame that came in pieces; NULL between frames
    uint32_t key
    uint8_t opcode
    uint8_t size      # kept of the payload
    uint8_t missing   # octets of the payload are; what follows them is not kept
    uint8_t faulty    # the payload of a Close was found bad, or cannot be judged
    uint8_t closed    # a Close came
    Utf8 reason

cdef void control_begin(Control *self, const Header *header) noexcept nogil

# `size` octets of the payload as on the wire, the first of them at `offset` of the stream; with
# them `left` are to come.
cdef void control_payload(Control *self, Workspace *space, const Handler *handler,
                          Direction direction, const uint8_t *data, size_t size,
                          uint64_t left, uint64_t offset) noexcept nogil

# Octets of the payload that are lost.
cdef void control_missing(Control *self) noexcept nogil

# The frame is whole.
cdef void control_end(Control *self, const Header *header, const Handler *handler,
                      Direction direction) noexcept nogil

cdef size_t control_memory(const Control *self) noexcept nogil
cdef void control_free(Control *self) noexcept nogil
