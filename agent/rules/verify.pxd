"""Second looks at a match, for what a regular expression cannot say.

A verifier gets the span of a match and may move it to what it verified.
"""

from libc.stdint cimport uint8_t, uint32_t

ctypedef bint (*Verify)(const uint8_t *text, size_t size, uint32_t *start, uint32_t *end,
                        double parameter) noexcept nogil

# Whether a match stands for itself where there are so many that not all can be looked at.
cdef bint accepts_many(Verify verify) noexcept nogil

# NULL: no such verifier.
cdef Verify verifier(str name)
