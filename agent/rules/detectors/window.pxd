"""A sum over a sliding window of time, in fixed memory."""

from libc.stdint cimport uint64_t

cdef enum:
    WINDOW_BUCKETS = 32


# All zero: empty.
cdef struct Window:
    uint64_t newest                    # number of the newest bucket
    uint64_t quiet_until_ns
    uint64_t total
    uint64_t buckets[WINDOW_BUCKETS]   # by bucket number modulo WINDOW_BUCKETS

# Adds `amount` at `now_ns`; the sum where it reached `threshold` for the first time in this
# window, else 0.
cdef uint64_t window_add(Window *self, uint64_t now_ns, uint64_t span_ns, uint64_t amount,
                         uint64_t threshold) noexcept nogil
