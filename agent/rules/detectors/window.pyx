# cython: language_level=3
"""A sum over a sliding window of time, in fixed memory: `event_count` and `value_sum`.

The window is a ring of WINDOW_BUCKETS buckets, each that part of the time span.  The buckets
in force reach back over at most the span and at least (WINDOW_BUCKETS - 1) / WINDOW_BUCKETS
of it, so nothing older than the span is ever counted: a burst spread over the last
thirty-second of a span may be missed, a slower one never raises an alert.

A window speaks once: after it reached its threshold it stays quiet for one span.
Time that runs backwards counts for the newest bucket.
"""

from collections import OrderedDict

from libc.stdint cimport uint64_t
from libc.string cimport memset


cdef uint64_t window_add(Window *self, uint64_t now_ns, uint64_t span_ns, uint64_t amount,
                         uint64_t threshold) noexcept nogil:
    cdef uint64_t width_ns = span_ns // WINDOW_BUCKETS
    cdef uint64_t number = now_ns // (width_ns if width_ns else 1)
    cdef uint64_t stale
    if number > self.newest:
        if number - self.newest >= WINDOW_BUCKETS:
            memset(self.buckets, 0, sizeof(self.buckets))
            self.total = 0
        else:
            for stale in range(self.newest + 1, number + 1):
                self.total -= self.buckets[stale % WINDOW_BUCKETS]
                self.buckets[stale % WINDOW_BUCKETS] = 0
        self.newest = number
    self.buckets[self.newest % WINDOW_BUCKETS] += amount
    self.total += amount
    if self.total < threshold or now_ns < self.quiet_until_ns:
        return 0
    self.quiet_until_ns = now_ns + span_ns
    return self.total


cdef class _Counter:
    cdef Window window


cdef class Windows:
    """Windows by key, for what is judged in Python; the least recently used gives way."""

    cdef object counters
    cdef readonly int capacity
    cdef readonly int evicted

    def __init__(self, int capacity=16_384):
        if capacity < 1:
            raise ValueError(f"capacity of windows is {capacity}: at least 1 is needed")
        self.counters = OrderedDict()
        self.capacity = capacity
        self.evicted = 0

    def __len__(self):
        return len(self.counters)

    def add(self, object key, uint64_t now_ns, uint64_t span_ns, uint64_t amount,
            uint64_t threshold):
        """The sum where it reached `threshold` for the first time in this window, else 0."""
        cdef _Counter counter = self.counters.get(key)
        if counter is None:
            if len(self.counters) >= self.capacity:
                self.counters.popitem(last=False)
                self.evicted += 1
            counter = self.counters[key] = _Counter()
        else:
            self.counters.move_to_end(key)
        return window_add(&counter.window, now_ns, span_ns, amount, threshold)
