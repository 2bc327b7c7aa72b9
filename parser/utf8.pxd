"""UTF-8 across chunks and fragments, refused at the earliest octet (RFC 6455 8.1, RFC 3629 4)."""

from libc.stdint cimport uint8_t


# All zero: at a boundary of characters.
cdef struct Utf8:
    uint8_t need  # continuation octets to come
    uint8_t low   # the next of them lies in low..high
    uint8_t high


# How many octets are fine; less than `size`: the one after them is the first that no
# character can have there.
cdef size_t utf8_feed(Utf8 *self, const uint8_t *data, size_t size) noexcept nogil
