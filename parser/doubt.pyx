# distutils: libraries = z
"""Inflates twice, with two different fillings of what is not known of the window.

Each octet that deflate (RFC 1951) makes is a literal or a copy of one octet before it, and the
window does not change how its data is read.  So an octet that was made of one in the window that
is not known comes out as that: 0x00 here and 0xFF there.  One that comes out the same depends on
none.  A message of such octets alone is right.

Both have the largest window, all of it filled: with a smaller one zlib refuses or takes what lies
too far back, depending on how its input is cut.

When as many octets in a row were the same as the sender may refer to, the whole window is
known, and one inflater is enough again.

Costs about 80 KiB a direction while it lasts, of the budget of contexts.pyx, as far as that is
free: nobody's context makes way.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memmove, memset

from sockwarden.parser.contexts cimport contexts_borrow, contexts_repay
from sockwarden.parser.workspace cimport SW_SCRATCH_BYTES, Workspace
from sockwarden.parser.zlib cimport (
    AT_BLOCK_END, Z_BUF_ERROR, Z_DATA_ERROR, Z_OK, Z_STREAM_END, Z_SYNC_FLUSH, inflate,
    inflateEnd, inflateGetDictionary, inflateInit2, inflateReset, inflateResetKeep,
    inflateSetDictionary, z_stream)

cdef enum:
    SMALLEST_WINDOW_BITS = 9  # zlib deflates with 9 where 8 was agreed on
    WIDEST_WINDOW_BITS = 15
    WIDEST_BYTES = 1 << WIDEST_WINDOW_BITS
    STATE_BYTES = 7200        # what zlib takes besides the window
    INPUT_BYTES = 1 << 30     # of one step, below zlib's 32 bits
    HALF_BYTES = SW_SCRATCH_BYTES // 2

cdef extern from *:
    """
    static unsigned char sw_zeros[1 << 15], sw_ones[1 << 15];
    """
    uint8_t *sw_zeros
    uint8_t *sw_ones

memset(sw_ones, 0xFF, WIDEST_BYTES)


cdef bint forget(z_stream *zlib, const uint8_t *unknown) noexcept nogil:
    return (inflateReset(zlib) == Z_OK
            and inflateSetDictionary(zlib, unknown, WIDEST_BYTES) == Z_OK)


cdef Doubt *doubt_new(uint8_t window_bits) noexcept nogil:
    cdef Doubt *self
    cdef size_t costs = sizeof(Doubt) + 2 * (STATE_BYTES + WIDEST_BYTES)
    if not contexts_borrow(costs):
        return NULL
    self = <Doubt *>calloc(1, sizeof(Doubt))
    if self == NULL:
        contexts_repay(costs)
        return NULL
    self.window = <uint32_t>1 << max(window_bits, <uint8_t>SMALLEST_WINDOW_BITS)
    self.stale = True
    if (inflateInit2(&self.one, -WIDEST_WINDOW_BITS) != Z_OK
            or inflateInit2(&self.other, -WIDEST_WINDOW_BITS) != Z_OK):
        doubt_free(self)
        return NULL
    return self


cdef bint doubt_begin(Doubt *self) noexcept nogil:
    if not self.stale:
        return True
    self.agreed = 0
    self.final = False
    self.stale = not (forget(&self.one, sw_zeros) and forget(&self.other, sw_ones))
    return not self.stale


cdef int step(z_stream *zlib, const uint8_t *data, unsigned int size, uint8_t *out) noexcept nogil:
    cdef int result
    zlib.next_in = data
    zlib.avail_in = size
    zlib.next_out = out
    zlib.avail_out = HALF_BYTES
    result = inflate(zlib, Z_SYNC_FLUSH)
    # RFC 7692 7.2.3.4: the window goes on behind a final block
    if result == Z_STREAM_END and inflateResetKeep(zlib) != Z_OK:
        return Z_DATA_ERROR
    return result


cdef void compare(Doubt *self, const uint8_t *one, const uint8_t *other, size_t size,
                  size_t *sure) noexcept nogil:
    cdef size_t at, last
    sure[0] = size
    if not memcmp(one, other, size):
        self.agreed = <uint32_t>min(<size_t>self.window, self.agreed + size)
        return
    at = 0
    while one[at] == other[at]:
        at += 1
    sure[0] = at
    last = size - 1
    while one[last] == other[last]:
        last -= 1
    self.agreed = <uint32_t>min(<size_t>self.window, size - 1 - last)


cdef bint doubt_step(Doubt *self, Workspace *space, const uint8_t **data, size_t *size,
                     const uint8_t **out, size_t *made, size_t *sure) noexcept nogil:
    cdef unsigned int given = <unsigned int>min(size[0], <size_t>INPUT_BYTES)
    cdef int result = step(&self.one, data[0], given, space.scratch)
    cdef int other = step(&self.other, data[0], given, space.scratch + HALF_BYTES)
    if self.one.avail_in != self.other.avail_in or self.one.avail_out != self.other.avail_out:
        made[0] = sure[0] = 0
        return False
    given -= self.one.avail_in
    data[0] += given
    size[0] -= given
    out[0] = space.scratch
    made[0] = HALF_BYTES - self.one.avail_out
    self.final = result == Z_STREAM_END or (self.final and not given and not made[0])
    compare(self, space.scratch, space.scratch + HALF_BYTES, made[0], sure)
    return result == other and result in (Z_OK, Z_BUF_ERROR, Z_STREAM_END)


cdef size_t doubt_window(Doubt *self, uint8_t *out) noexcept nogil:
    cdef unsigned int size = 0
    if (self.stale or self.agreed < self.window
            or not (self.final or self.one.data_type & AT_BLOCK_END)
            or inflateGetDictionary(&self.one, out, &size) != Z_OK):
        return 0
    memmove(out, out + size - self.window, self.window)
    return self.window


cdef size_t doubt_memory(const Doubt *self) noexcept nogil:
    return 0 if self == NULL else sizeof(Doubt) + 2 * (STATE_BYTES + WIDEST_BYTES)


cdef void doubt_free(Doubt *self) noexcept nogil:
    if self != NULL:
        contexts_repay(doubt_memory(self))
        inflateEnd(&self.one)
        inflateEnd(&self.other)
        free(self)
