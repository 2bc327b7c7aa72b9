"""UTF-8 across chunks and fragments, refused at the earliest octet (RFC 6455 8.1, RFC 3629 4)."""

from libc.stdint cimport uint8_t, uint32_t

from sockwarden.parser.masking cimport unmask

cdef extern from "simd/utf8.h":
    enum: SW_UTF8_LONG_BYTES


# All zero: at a boundary of characters.
cdef struct Utf8:
    uint8_t need  # continuation octets to come
    uint8_t low   # the next of them lies in low..high
    uint8_t high
    uint8_t mixed  # it has been more than ASCII


# How many octets are fine; less than `size`: the one after them is the first that no
# character can have there.
cdef size_t utf8_feed(Utf8 *self, const uint8_t *data, size_t size) noexcept nogil

# For what is below.
cdef size_t utf8_unmask_long(Utf8 *self, uint8_t *out, const uint8_t *data, size_t size,
                             uint32_t key) noexcept nogil


# Unmasks all, as `unmask` of masking.pxd does, and tells the same of the outcome.  Short text is
# mostly ASCII: one pass for both gains nothing there.
cdef inline size_t utf8_unmask(Utf8 *self, uint8_t *out, const uint8_t *data, size_t size,
                               uint32_t key) noexcept nogil:
    if size >= SW_UTF8_LONG_BYTES:
        return utf8_unmask_long(self, out, data, size, key)
    if not unmask(out, data, size, key) and not self.need:
        return size
    return utf8_feed(self, out, size)
