"""What a text holds that decoders could work on: one look tells which of them to ask."""

from libc.stdint cimport uint8_t, uint32_t

cdef extern from "agent/decode/simd/marks.h" nogil:
    enum:
        BACKSLASH "SW_BACKSLASH"
        PERCENT "SW_PERCENT"
        AMPERSAND "SW_AMPERSAND"
        STAR "SW_STAR"
        HIGH "SW_HIGH"            # a byte of 0x80 or above
        BINARY "SW_BINARY"        # a byte below tab, or the first one is no printable ASCII
        RUN "SW_RUN"              # what may be base64 or hexadecimal digits
    bint in_alphabet "sw_in_alphabet"(uint8_t byte) noexcept
    ctypedef uint32_t (*marks_function "sw_marks_fn")(const uint8_t *text,
                                                      size_t size) noexcept
    ctypedef size_t (*next_run_function "sw_next_run_fn")(const uint8_t *text, size_t size,
                                                          size_t start) noexcept

cdef uint32_t text_marks(const uint8_t *text, size_t size) noexcept nogil

# Where the next run begins at `start` or behind, or `size`.
cdef size_t next_run(const uint8_t *text, size_t size, size_t start) noexcept nogil
