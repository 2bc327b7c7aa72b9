"""Sec-WebSocket-Extensions: what was agreed on (RFC 6455 section 9.1, RFC 7692 section 7.1)."""

from sockwarden.parser.events cimport Deflate
from sockwarden.parser.head cimport Text


cdef enum ExtensionFault:
    BAD_PARAMETER = 1        # of permessage-deflate: unknown, twice, or out of range
    UNKNOWN_EXTENSION = 2    # another extension

# Adds what a field of the response says to `deflate` (by Direction), which starts out zero.
# Parameters that are bad count as absent.  Returns faults.
cdef unsigned int extensions_agreed(Text value, Deflate *deflate) noexcept nogil

# Whether a field of the request offers permessage-deflate.
cdef bint extensions_offer_deflate(Text value) noexcept nogil

# What decodes whatever may have been agreed: the widest window, its context kept.
cdef void extensions_presume_deflate(Deflate *deflate) noexcept nogil
