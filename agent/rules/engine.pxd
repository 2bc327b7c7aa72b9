"""The compiled rules, as the pipeline calls them: facts in, hits out, no GIL.

A `RuleSet` is immutable and shared; what a thread or a connection changes
stands in `Scratch` and `State`.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    MAX_HITS = 32  # of one message; more are counted in Verdict.dropped


# The fields of a message-category rule, beside the payload itself.
cdef struct Facts:
    uint64_t time_ns
    uint64_t length            # true length of the payload, inflated
    uint64_t wire_length       # before inflation
    uint64_t age_ns            # of the connection
    uint64_t messages          # of this direction so far, this one included
    uint64_t connection_bytes  # payload bytes of this direction so far, inflated
    uint32_t fragments
    uint8_t direction          # parser.events.Direction
    uint8_t opcode             # TEXT, BINARY; CLOSE, PING, PONG for control frames
    bint compressed
    bint after_close
    bint complete
    bint tls
    bint loopback              # both ends are on loopback


cdef struct Hit:
    uint32_t rule              # index into RuleSet.rules
    uint32_t view              # 0: the payload as it is; else index into RuleSet.views
    uint32_t start, end        # of the evidence in the payload (view 0) or in the decoded view
    uint32_t count             # events that a correlation counted, else 1


cdef struct Verdict:
    uint32_t count
    uint32_t dropped
    Hit hits[MAX_HITS]


# Per connection: sliding windows of correlations.  Opaque; NULL until needed.
cdef struct State:
    pass

# Per thread: Vectorscan scratch, bit sets, buffers for decoded views.
cdef struct Scratch:
    pass


cdef class RuleSet:
    cdef readonly tuple rules     # of sockwarden.agent.rules.model.Rule
    cdef readonly tuple views     # names of decoded views, "raw" first
    cdef readonly str digest      # SHA-256 over all rules, hex

    cdef Scratch *scratch_new(self) except NULL
    cdef void scratch_free(self, Scratch *scratch) noexcept nogil
    cdef void state_free(self, State *state) noexcept nogil

    # Judges one message or control frame.  `state` is the connection's slot.
    cdef void judge_message(self, Scratch *scratch, State **state, const Facts *facts,
                            const uint8_t *payload, size_t size,
                            Verdict *verdict) noexcept nogil

    # The view that `hit` speaks of: valid until the next judge_message with this scratch.
    cdef const uint8_t *view(self, Scratch *scratch, uint32_t view, size_t *size) noexcept nogil
