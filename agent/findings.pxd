"""What the pipeline found and Python shall hear of, in the order seen.

A fixed arena: findings and the bytes that belong to them.  Whoever adds asks `findings_room`
first and empties it when there is none.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef enum FindingKind:
    FOUND_MESSAGE
    FOUND_CONTROL
    FOUND_ANOMALY
    FOUND_HIT
    FOUND_CLOSE


cdef struct Finding:
    uint64_t connection
    uint64_t time_ns
    uint64_t length          # of the message; the offset of an anomaly
    const uint8_t *bytes     # of the evidence, in the arena
    size_t size
    uint32_t start, end      # of the match in `bytes`
    uint32_t rule
    uint32_t count           # fragments of a message, events of a hit
    uint16_t code            # of a Close frame
    uint8_t kind             # FindingKind
    uint8_t direction
    uint8_t opcode           # kind of an anomaly
    bint has_code
    bint compressed
    bint after_close
    bint has_sha256
    uint8_t sha256[32]


cdef struct Findings:
    Finding *items
    uint8_t *bytes
    size_t count
    size_t bytes_used

# False: no memory.
cdef bint findings_init(Findings *self) noexcept nogil
cdef void findings_free(Findings *self) noexcept nogil
cdef bint findings_room(const Findings *self) noexcept nogil
cdef void findings_clear(Findings *self) noexcept nogil
# A zeroed finding.
cdef Finding *findings_add(Findings *self) noexcept nogil
# Copies the surroundings of payload[start:end] into the arena.
cdef void findings_evidence(Findings *self, Finding *finding, const uint8_t *payload, size_t size,
                            size_t start, size_t end) noexcept nogil
