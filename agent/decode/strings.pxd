"""What decoders of binary formats share: a text like JSON of the strings that a message holds.

Strings stand in quotes, keys are followed by a colon; of numbers nothing is shown.  So rules meet
what they would meet in a JSON message whose escapes are decoded.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    NESTING_MAX = 32


# An array or map that is not at its end.
cdef struct Open:
    uint64_t left        # items; of a map keys and values
    bint is_map
    bint is_endless      # until walk_break: `left` then only tells keys from values


cdef struct Walk:
    uint8_t *out         # written to as long as there is room
    size_t capacity
    size_t made
    uint32_t strings     # that were met
    uint32_t depth
    Open open[NESTING_MAX]

cdef void walk_begin(Walk *walk, uint8_t *out, size_t capacity) noexcept nogil

# The next item is a string.
cdef void walk_string(Walk *walk, const uint8_t *text, size_t size) noexcept nogil

# The next item is something else.
cdef void walk_scalar(Walk *walk) noexcept nogil

# The next item has `items` of its own; UINT64_MAX: until a break.  False: nested too deep.
cdef bint walk_open(Walk *walk, uint64_t items, bint is_map) noexcept nogil

# The innermost item, which has items until a break, is at its end.  False: there is no such item.
cdef bint walk_break(Walk *walk) noexcept nogil
