# cython: language_level=3
# distutils: libraries = hs
"""One regular expression, compiled by Vectorscan with start offsets.

The gate says which patterns may match a text; this says whether and where.  Vectorscan runs in
time linear in the text whatever the pattern, so neither hostile text nor a careless rule can
stall the agent: nothing here uses Python's `re`.  Patterns are of bytes; `i` folds ASCII only.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free, malloc

from hashlib import sha256

from sockwarden.agent.rules.databases cimport Databases
from sockwarden.agent.rules.vectorscan cimport (
    HS_FLAG_CASELESS,
    HS_FLAG_DOTALL,
    HS_FLAG_MULTILINE,
    HS_FLAG_SINGLEMATCH,
    HS_FLAG_SOM_LEFTMOST,
    HS_MODE_BLOCK,
    HS_SCAN_TERMINATED,
    HS_SUCCESS,
    hs_alloc_scratch,
    hs_compile,
    hs_compile_error_t,
    hs_compile_multi,
    hs_database_t,
    hs_free_compile_error,
    hs_free_database,
    hs_free_scratch,
    hs_scan,
    platform,
)
from sockwarden.agent.rules.verify cimport accepts_many

CASELESS = HS_FLAG_CASELESS
DOTALL = HS_FLAG_DOTALL
MULTILINE = HS_FLAG_MULTILINE

cdef enum:
    SPAN_MAX_BYTES = 512
    # Every end of a match is an event of its own: what one text may cost.
    EVENTS_MAX = 65_536
    UNKNOWN_START_BYTES = 64  # shown before the end of a match whose start is not known


# Behind every pattern with start offsets, except where an end of the text stands in it.  Where a
# pattern can only end in one pair of bytes, Vectorscan up to 5.4.12 searches texts of 255 bytes
# and more backwards for the pair, by a function that overflows its stack (VectorCamp/vectorscan,
# pull request 392): any such text would end the agent.
OPEN_END = rb"(?:\xfd\xfb)?"


cdef struct Search:
    const uint8_t *text
    size_t size
    Verify verify
    double parameter
    Span span
    uint32_t events
    bint found
    bint knows_start


cdef int on_match(unsigned int number, unsigned long long start, unsigned long long end,
                  unsigned int flags, void *context) noexcept nogil:
    cdef Search *search = <Search *> context
    cdef Span span
    search.events += 1
    if not search.knows_start:
        start = end - UNKNOWN_START_BYTES if end > UNKNOWN_START_BYTES else 0
    span.start = <uint32_t> start
    span.end = <uint32_t> end
    if not search.found:
        search.found = search.verify is NULL or search.verify(
            search.text, search.size, &span.start, &span.end, search.parameter)
        search.span = span
        if search.found and (span.start != start or span.end != end):
            return 1  # the verifier says where
    elif span.start == search.span.start and span.end - span.start <= SPAN_MAX_BYTES:
        search.span.end = span.end
    else:
        return 1
    return search.events >= EVENTS_MAX


cdef int on_first(unsigned int number, unsigned long long start, unsigned long long end,
                  unsigned int flags, void *context) noexcept nogil:
    return 1


cdef bint found_in(const Expression *expression, hs_scratch_t *scratch, const uint8_t *text,
                   size_t size) noexcept nogil:
    return hs_scan(expression.whether, <const char *> text, <unsigned int> size, 0, scratch,
                   on_first, NULL) == HS_SCAN_TERMINATED


cdef bint find(const Expression *expression, hs_scratch_t *scratch, const uint8_t *text,
               size_t size, Verify verify, double parameter, Span *span) noexcept nogil:
    cdef Search search
    search.text = text
    search.size = size
    search.verify = verify
    search.parameter = parameter
    search.events = 0
    search.found = False
    search.knows_start = expression.knows_start
    hs_scan(expression.where, <const char *> text, <unsigned int> size, 0, scratch, on_match,
            &search)
    if not search.found and search.events >= EVENTS_MAX:
        # What chance brought would not come so often; padding could.
        search.found = accepts_many(verify)
    if search.found:
        span[0] = search.span
    return search.found


cdef class Pattern:
    """Raises ValueError with Vectorscan's reason where it refuses the expression."""

    def __cinit__(self, str regex, int flags=0, *, bint eager=True, Databases databases=None):
        cdef bytes expression = regex.encode()
        self.regex = regex
        self.flags = flags
        if b"\0" in expression:
            raise ValueError("a NUL character stands in it: write \\x00")
        self.expression.whether = self.compile(expression, flags | HS_FLAG_SINGLEMATCH, databases)
        if eager:
            self.compile_where(expression, databases)

    cdef int locate(self, hs_scratch_t **scratch) except -1:
        if self.expression.where is NULL:
            self.compile_where(self.regex.encode(), None)
        if (scratch is not NULL
                and hs_alloc_scratch(self.expression.where, scratch) != HS_SUCCESS):
            raise MemoryError
        return 0

    cdef int compile_where(self, bytes expression, Databases databases) except -1:
        for text in (b"(?:%b)%b" % (expression, OPEN_END), expression):
            try:
                self.expression.where = self.compile(
                    text, self.flags | HS_FLAG_SOM_LEFTMOST, databases)
            except ValueError:
                continue
            self.expression.knows_start = True
            return 0
        # Start offsets cost states; what is too large with them may do without.
        self.expression.where = self.compile(expression, self.flags, databases)
        return 0

    cdef hs_database_t *compile(self, bytes regex, int flags, Databases databases) except NULL:
        cdef hs_database_t *database = NULL
        cdef hs_compile_error_t *error = NULL
        cdef bytes key = b"%d %b" % (flags, regex)
        if databases is not None:
            database = databases.take(key)
            if database is not NULL:
                return database
        if hs_compile(regex, flags, HS_MODE_BLOCK, platform(), &database, &error) != HS_SUCCESS:
            reason = (<bytes> error.message).decode(errors="replace")
            hs_free_compile_error(error)
            raise ValueError(reason[:1].lower() + reason[1:].rstrip("."))
        if databases is not None:
            databases.keep(key, database)
        return database

    def __dealloc__(self):
        hs_free_scratch(self.scratch)
        hs_free_database(self.expression.whether)
        hs_free_database(self.expression.where)

    @property
    def knows_start(self):
        """False: too large for start offsets; a match begins somewhere before its end."""
        self.locate(NULL)
        return bool(self.expression.knows_start)

    def search(self, bytes text):
        """Span of the first match, or None.  Not for two threads at once."""
        cdef Span span
        self.locate(&self.scratch)
        if find(&self.expression, self.scratch, text, len(text), NULL, 0.0, &span):
            return span.start, span.end
        return None


cdef hs_database_t *compile_database(tuple patterns, object numbers,
                                     Databases databases) except NULL:
    cdef Pattern pattern
    cdef hs_database_t *database
    cdef object hashed = sha256()
    for number in numbers:
        pattern = patterns[number]
        hashed.update(b"%d %d %d " % (number, pattern.flags, len(pattern.regex)))
        hashed.update(pattern.regex.encode())
    cdef bytes key = hashed.digest()
    database = databases.take(key)
    if database is NULL:
        database = compile_together(patterns, numbers)
        databases.keep(key, database)
    return database


cdef hs_database_t *compile_together(tuple patterns, object numbers) except NULL:
    cdef hs_database_t *database = NULL
    cdef hs_compile_error_t *error = NULL
    cdef size_t count = len(numbers)
    cdef const char **expressions = <const char **> malloc(count * sizeof(char *))
    cdef unsigned int *flags = <unsigned int *> malloc(count * sizeof(int))
    cdef unsigned int *ids = <unsigned int *> malloc(count * sizeof(int))
    cdef Pattern pattern
    cdef size_t i
    cdef list texts = [patterns[number].regex.encode() for number in numbers]
    try:
        if expressions is NULL or flags is NULL or ids is NULL:
            raise MemoryError
        for i in range(count):
            pattern = patterns[numbers[i]]
            expressions[i] = <bytes> texts[i]
            flags[i] = pattern.flags | HS_FLAG_SINGLEMATCH
            ids[i] = numbers[i]
        if hs_compile_multi(expressions, flags, ids, count, HS_MODE_BLOCK, platform(), &database,
                            &error) != HS_SUCCESS:
            reason = (<bytes> error.message).decode(errors="replace")
            hs_free_compile_error(error)
            raise ValueError(f"the patterns of all rules do not compile together: {reason}")
    finally:
        free(expressions)
        free(flags)
        free(ids)
    return database
