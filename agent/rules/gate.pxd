"""The first stage: which patterns may match a text, told by the literals that they need."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "agent/rules/simd/gate.h" nogil:
    enum:
        WINDOW_BYTES "SW_WINDOW"
        BUCKETS "SW_BUCKETS"
        LITERAL_MAX_BYTES "SW_LITERAL_MAX"
    ctypedef struct Set "sw_set":
        uint64_t bits[4]
    ctypedef struct CLiteral "sw_literal":
        uint8_t size
        uint8_t offset
        uint16_t sets[8]
        uint32_t first_user
        uint32_t user_count
    ctypedef struct Bucket "sw_bucket":
        const uint64_t *fits
        uint32_t words
        uint32_t first
    ctypedef struct CPart "sw_gate":
        uint16_t passing[3][256]
        uint8_t classes[256]
        Bucket buckets[16]
        const CLiteral *literals
        const Set *sets
        const uint32_t *users
        uint8_t ascii[2][3][128]
        uint8_t above[2][3]
        uint8_t ascii_classes[128]
        uint8_t above_classes
    # Patterns, each once: a bit set, and the same as a list with room for all of them.
    ctypedef struct Found "sw_found":
        uint64_t *bits
        uint32_t *list
        uint32_t count
    ctypedef uint32_t (*scan_function "sw_gate_scan")(const CPart *part, const uint8_t *text,
                                                      size_t size, Found *found) noexcept

cdef enum:
    PARTS_MAX = 9
    NEED_MAX_BYTES = 8
    NEEDS_MAX = 2


# What a pattern needs beside a literal: a byte of each set.  NULs end a set.
cdef struct Needs:
    uint8_t count
    uint8_t octets[NEEDS_MAX][NEED_MAX_BYTES]
    uint8_t sizes[NEEDS_MAX]


cdef class Gate:
    cdef CPart *parts
    cdef uint32_t part_count
    cdef Needs *needs             # by pattern number
    cdef uint32_t pattern_count   # numbers are below it
    cdef readonly int literal_count
    cdef readonly uint32_t always_count
    cdef uint32_t *always         # patterns without a literal: they may match any text
    cdef list kept                # arrays that `parts` point into
    cdef scan_function scan

    # Sets the patterns that may match, those without a literal last; no other one does.
    cdef void search(self, const uint8_t *text, size_t size, Found *found) noexcept nogil
