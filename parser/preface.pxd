"""The header that a load balancer puts before a client's first octet (the PROXY protocol).

Version 1 is a line, version 2 is binary (haproxy.org/download/1.8/doc/proxy-protocol.txt, 2.1 and
2.2).  What it says of addresses is not believed and not kept: it is skipped.
"""

from libc.stdint cimport uint8_t, uint16_t


cdef enum PrefaceState:
    PREFACE_START = 0   # `seen` octets of a signature were there
    PREFACE_LINE        # version 1, in the line
    PREFACE_HEADER      # version 2, before its length
    PREFACE_ADDRESSES   # version 2, `left` octets before the end
    PREFACE_OVER


cdef struct Preface:
    uint16_t left
    uint8_t state  # PrefaceState
    uint8_t seen
    uint8_t version

# A header has begun, and its end is not reached.
cdef inline bint preface_begun(const Preface *self) noexcept nogil:
    return self.state != PREFACE_OVER and self.seen != 0

# How many octets belong to it: all, or less at PREFACE_OVER.  What began like a signature and is
# none is given back in `instead` (a constant; its size is what is returned there).
cdef size_t preface_skip(Preface *self, const uint8_t *data, size_t size,
                         const uint8_t **instead, size_t *instead_size) noexcept nogil
