"""One regular expression: whether and where it matches, in time linear in the text."""

from libc.stdint cimport uint8_t, uint32_t

from sockwarden.agent.rules.databases cimport Databases
from sockwarden.agent.rules.vectorscan cimport hs_database_t, hs_scratch_t
from sockwarden.agent.rules.verify cimport Verify


cdef struct Span:
    uint32_t start
    uint32_t end


cdef struct Expression:
    hs_database_t *whether        # ends at the first match
    hs_database_t *where          # with start offsets, which cost several times as much, or NULL
    bint knows_start              # `where` has them


cdef class Pattern:
    cdef readonly str regex
    cdef readonly int flags
    cdef Expression expression
    cdef hs_scratch_t *scratch    # of `search` only

    # Sees to it that `where` is there, and that the scratch, if one is given, serves it.
    cdef int locate(self, hs_scratch_t **scratch) except -1
    cdef int compile_where(self, bytes expression, Databases databases) except -1
    cdef hs_database_t *compile(self, bytes regex, int flags, Databases databases) except NULL

# Whether it matches.  `scratch` must have been allocated for the expression's databases too.
cdef bint found_in(const Expression *expression, hs_scratch_t *scratch, const uint8_t *text,
                   size_t size) noexcept nogil

# The first match, as long as it gets; with `verify` the first that it accepts.
cdef bint find(const Expression *expression, hs_scratch_t *scratch, const uint8_t *text,
               size_t size, Verify verify, double parameter, Span *span) noexcept nogil

# One database that says which of the numbered patterns match, and not where.
cdef hs_database_t *compile_database(tuple patterns, object numbers,
                                     Databases databases) except NULL
