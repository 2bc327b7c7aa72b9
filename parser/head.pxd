"""A head of HTTP/1.1 (RFC 9112 sections 2 to 5): its end, its lines, its fields."""

from libc.stdint cimport uint8_t, uint16_t


cdef struct Text:
    const uint8_t *data
    size_t size


cdef enum HeadState:
    HEAD_START = 0  # empty lines before the first line are skipped (section 2.2)
    HEAD_LINE       # inside a line
    HEAD_LF         # behind the end of a line
    HEAD_LF_CR      # behind that and a CR
    HEAD_WHOLE      # behind the empty line


cdef enum HeadFault:
    BARE_LF = 1        # a line ends without CR
    FOLDED_HEADER = 2  # a field goes on in the next line (section 5.2)
    BAD_HEADER = 4     # no colon, no name, a blank before the colon, a control character

# Looks for the end of the head.  How many octets were looked at: all, or, at HEAD_WHOLE,
# those up to and with the empty line's LF.
cdef size_t head_scan(HeadState *state, const uint8_t *data, size_t size) noexcept nogil

# Takes the next line, without its end, off `rest`.  False: none is left.
cdef bint head_line(Text *rest, Text *line, unsigned int *faults) noexcept nogil

# Takes the next field off `rest`, which stands behind the first line.  Lines that are none are
# faults and passed over.  The value is stripped.
cdef bint head_field(Text *rest, Text *name, Text *value, unsigned int *faults) noexcept nogil

# The field `name` (lower-case) of a head: the first one whose value, a comma-separated list,
# contains `token` (lower-case; NULL: any).
cdef bint head_find(Text head, const char *name, const char *token, Text *value) noexcept nogil

# Whether a request asks for a WebSocket, in the eyes of servers that take more than the RFC
# allows: a blank before the colon, a folded line, any list.
cdef bint head_asks(Text head) noexcept nogil

# RFC 9112 section 4.  0: not a status line of HTTP/1.x.
cdef uint16_t head_status(Text head) noexcept nogil

cdef Text strip(Text text) noexcept nogil
cdef bint equals(Text text, const char *lower_case) noexcept nogil

# Takes the next element of a list, up to `separator`, off `rest`, stripped; a quoted string
# hides separators.
cdef bint list_next(Text *rest, uint8_t separator, Text *element) noexcept nogil
