"""Unmasking, and the ASCII test that comes with it for free (RFC 6455 section 5.3)."""

from libc.stdint cimport uint8_t, uint32_t

ctypedef int (*unmask_function)(uint8_t *out, const uint8_t *data, size_t size,
                                uint32_t key) noexcept nogil
ctypedef int (*non_ascii_function)(const uint8_t *data, size_t size) noexcept nogil

# The best variants that this processor has.  Both are nonzero if a byte is not ASCII.
# `unmask` writes up to SLACK (buffer.pxd) bytes behind its output; key 0 copies.
cdef unmask_function unmask
cdef non_ascii_function non_ascii


# The key for what follows the first `by` octets (of a key that lies in memory in
# wire order, read as a little-endian word).
cdef inline uint32_t rotate(uint32_t key, size_t by) noexcept nogil:
    cdef unsigned int bits = <unsigned int>(by & 3) * 8
    return (key >> bits) | (key << ((32 - bits) & 31))
