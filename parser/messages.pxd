"""Data messages of one direction: joined, unmasked, inflated, validated, hashed.

frames.pyx calls begin, payload... and end for each data frame of a message that is not
whole.pxd's.  Offsets are those of the direction's stream.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from sockwarden.parser.buffer cimport Buffer
from sockwarden.parser.digest cimport EVP_MD_CTX
from sockwarden.parser.events cimport Direction, Handler, Limits
from sockwarden.parser.header cimport Header
from sockwarden.parser.inflate cimport Inflater
from sockwarden.parser.utf8 cimport Utf8
from sockwarden.parser.workspace cimport Workspace


cdef struct Messages:
    const Handler *handler
    const Limits *limits
    Inflater inflater
    EVP_MD_CTX *digest
    # The open message
    Buffer kept             # its first bytes
    uint64_t length
    uint64_t wire_length
    uint64_t offset         # of its first frame
    uint64_t frame_offset   # of the open frame
    uint32_t key            # of the open frame, turned to its next octet
    uint32_t fragments
    Utf8 utf8
    uint8_t opcode
    uint8_t open
    uint8_t compressed
    uint8_t withheld        # cannot be inflated
    uint8_t cut             # nothing more is kept
    uint8_t missing         # octets are
    uint8_t hashing
    uint8_t valid_utf8
    uint8_t direction       # Direction
    uint64_t withheld_messages

# A data frame begins.  `compressed`: RSV1 of a first frame, with the extension.
cdef void messages_begin(Messages *self, Workspace *space, const Header *header,
                         bint compressed) noexcept nogil

cdef void messages_payload(Messages *self, Workspace *space, const uint8_t *data, size_t size,
                           uint64_t offset) noexcept nogil

# `size` octets of the open frame's payload are lost.
cdef void messages_missing(Messages *self, Workspace *space, uint64_t size) noexcept nogil

# The frame is over, at offset `end`; with FIN the message too.
cdef void messages_end(Messages *self, Workspace *space, bint fin, uint64_t end,
                       bint after_close) noexcept nogil

# The open message will not be finished.
cdef void messages_abandon(Messages *self, Workspace *space) noexcept nogil

cdef size_t messages_memory(const Messages *self) noexcept nogil
cdef void messages_free(Messages *self) noexcept nogil
