"""The compiled rules, as the pipeline calls them: facts in, hits out, no GIL.

A `RuleSet` is immutable and shared; what a thread or a connection changes
stands in `Scratch` and `State`.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from sockwarden.agent.rules.detectors.window cimport Window
from sockwarden.agent.rules.facts cimport Facts
from sockwarden.agent.rules.gate cimport Found, Gate
from sockwarden.agent.rules.pattern cimport Expression
from sockwarden.agent.rules.program cimport Decoding, Feed, Program, Step
from sockwarden.agent.rules.vectorscan cimport hs_database_t, hs_scratch_t

cdef enum:
    MAX_HITS = 32  # of one message; more are counted in Verdict.dropped
    MAX_VIEWS = 40


cdef struct Hit:
    uint32_t rule              # index into RuleSet.rules
    uint32_t view              # 0: the payload as it is; else index into RuleSet.views
    uint32_t start, end        # of the evidence in that view; equal: no place (a rule on facts)
    uint32_t count             # events that a correlation counted, else 1


cdef struct Verdict:
    uint32_t count
    uint32_t dropped
    Hit hits[MAX_HITS]


# Per connection: sliding windows of correlations.  NULL until needed.
cdef struct State:
    uint64_t owner             # RuleSet.identity: the windows of other rules start anew
    Window windows[1]          # in truth RuleSet.correlation_count


cdef struct View:
    const uint8_t *text
    size_t size
    uint8_t *buffer            # NULL for view 0, which is the caller's
    size_t capacity


# Per thread: Vectorscan scratch, bit sets, buffers for decoded views.
cdef struct Scratch:
    hs_scratch_t *vectorscan
    Found candidates           # patterns that may match the view
    uint64_t *settled          # bit set of candidates that were looked at
    uint64_t *matched          # and of those that match
    uint64_t *held             # by program: serial number of the message it last held for
    uint64_t *judged           # by program: serial number of the view it was last judged on
    uint64_t message           # serial number of the message at hand
    uint64_t view              # and of the view
    View views[MAX_VIEWS]
    uint64_t views_cut         # views not made or cut: too large, or no memory
    uint64_t views_decoded
    uint64_t views_passed      # views that the gate found candidates in
    uint64_t searches          # of one pattern
    uint64_t joint_searches    # of all patterns at once
    uint64_t failures          # scans that Vectorscan refused, windows without memory


cdef class RuleSet:
    cdef readonly tuple rules     # of sockwarden.agent.rules.model.Rule and Correlation
    cdef readonly tuple views     # names of decoded views, "raw" first
    cdef readonly str digest      # SHA-256 over all rules, hex

    # The rest is the engine's own.
    cdef object judge_fields           # of handshake and frame rules: judge.FieldJudge
    cdef bint eager                    # `where` of all expressions is there
    cdef tuple patterns                # keeps `expressions` alive
    cdef Expression *expressions       # by pattern number
    cdef uint32_t pattern_count
    cdef hs_database_t *databases[2]   # by direction: its patterns, without offsets, or NULL
    cdef Gate client_gate              # by direction: which patterns may match a text
    cdef Gate server_gate
    cdef uint64_t identity
    cdef Program *programs
    cdef uint32_t program_count
    cdef Step *steps
    cdef uint32_t *evidence
    cdef Feed *feeds
    cdef uint32_t *users               # programs that may hold where pattern p matches stand
    cdef uint32_t *users_first         # from users_first[p] to users_first[p + 1]
    cdef uint32_t *unprompted          # programs that may hold although no pattern matches
    cdef uint32_t unprompted_count
    cdef uint32_t window_count
    cdef uint16_t watched[2]           # by direction: opcodes that any rule is for
    cdef Decoding ladder[MAX_VIEWS]    # ladder[i] makes view i + 1
    cdef uint32_t ladder_count

    cdef Scratch *scratch_new(self) except NULL
    cdef void scratch_free(self, Scratch *scratch) noexcept nogil
    cdef void state_free(self, State *state) noexcept nogil

    # Judges one message or control frame.  `state` is the connection's slot.
    cdef void judge_message(self, Scratch *scratch, State **state, const Facts *facts,
                            const uint8_t *payload, size_t size,
                            Verdict *verdict) noexcept nogil

    # The view that `hit` speaks of: valid until the next judge_message with this scratch.
    cdef const uint8_t *view(self, Scratch *scratch, uint32_t view, size_t *size) noexcept nogil

    cdef void judge_view(self, Scratch *scratch, State **state, const Facts *facts,
                         uint32_t view, Verdict *verdict) noexcept nogil
    cdef void judge_program(self, Scratch *scratch, State **state, const Facts *facts,
                            uint32_t view, const Program *program,
                            Verdict *verdict) noexcept nogil
    cdef void find_candidates(self, Scratch *scratch, const View *view,
                              int direction) noexcept nogil
    cdef bint matches(self, Scratch *scratch, const View *view, uint32_t pattern) noexcept nogil
    cdef bint holds(self, Scratch *scratch, const Facts *facts, const View *view,
                    const Program *program) noexcept nogil
    cdef void locate(self, Scratch *scratch, uint32_t pattern) noexcept
    cdef bint find_evidence(self, Scratch *scratch, const Program *program,
                            Hit *hit) noexcept nogil
    cdef void feed_windows(self, Scratch *scratch, State **state, const Facts *facts,
                           const Program *program, const Hit *hit,
                           Verdict *verdict) noexcept nogil
