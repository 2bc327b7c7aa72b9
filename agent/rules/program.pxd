"""Message rules as compile.py lays them out for the engine: plain arrays, no pointers to Python."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from sockwarden.agent.decode.decoder cimport decode_t
from sockwarden.agent.rules.verify cimport Verify

cdef enum:
    # A program runs on a stack of bits in one machine word.
    STACK_BITS = 64


cdef enum StepKind:
    PATTERN
    FACT
    AND
    OR
    NOT


cdef enum Operator:
    EQ
    GT
    GTE
    LT
    LTE


# One step of a condition in postfix order.
cdef struct Step:
    uint8_t kind               # StepKind
    uint8_t fact               # index into facts.FACTS
    uint8_t operator           # Operator
    uint32_t pattern
    uint64_t value


# A message rule: a range of each of the arrays in RuleSet.
cdef struct Program:
    uint32_t rule              # index into RuleSet.rules
    uint32_t first_step, step_count
    uint32_t first_evidence, evidence_count  # patterns that show it, best first
    uint32_t first_feed, feed_count          # correlations that it feeds
    uint16_t opcodes                         # bit sets
    uint8_t directions
    bint raw
    bint decoded
    bint alerts
    Verify verify
    double parameter


cdef struct Feed:
    uint32_t rule              # the correlation's
    uint32_t window
    uint64_t timespan_ns
    uint64_t threshold
    int value_fact             # -1: count events


# A rung of the ladder of decoded views; it works on the last view made.
cdef struct Decoding:
    decode_t decode
    uint32_t marks             # without any of them (decode/marks.pxd) it decodes nothing
    bint opens                 # a further round is worth its while
    bint starts_round          # it is the first of a further round
    uint32_t next_decoder      # the rung to go on with where this one decoded nothing
