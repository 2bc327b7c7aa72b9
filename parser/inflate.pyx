# distutils: libraries = z
"""Inflates messages by zlib, with each direction's negotiated context (RFC 7692 section 7.2).

With context takeover an inflater belongs to the connection from its first
compressed message on.  Without, it is the thread's, lent for one message, so that
an idle connection holds none.

Once octets of a context are bad or missing, later messages could come out wrong
without any sign of it: they are refused, for as long as the connection lives.
"""

from libc.stdint cimport uint8_t
from libc.stdlib cimport calloc, free

from sockwarden.parser.workspace cimport Workspace, z_stream

cdef extern from "zlib.h" nogil:
    enum:
        Z_OK
        Z_STREAM_END
        Z_BUF_ERROR
        Z_SYNC_FLUSH
        MAX_WBITS
    int inflateInit2(z_stream *stream, int window_bits)
    int inflateEnd(z_stream *stream)
    int inflateReset(z_stream *stream)
    int inflateResetKeep(z_stream *stream)
    int inflate(z_stream *stream, int flush)

cdef enum:
    STATE_BYTES = 7200      # what zlib takes besides the window
    INPUT_BYTES = 1 << 30   # of one step, below zlib's 32 bits
    SMALLEST_WINDOW = 9     # zlib deflates with 9 where 8 was agreed on


cdef z_stream *make(int window_bits) noexcept nogil:
    cdef z_stream *made = <z_stream *>calloc(1, sizeof(z_stream))
    if made != NULL and inflateInit2(made, -window_bits) != Z_OK:
        free(made)
        return NULL
    return made


cdef bint inflater_begin(Inflater *self, Workspace *space) noexcept nogil:
    if self.broken:
        return False
    if self.parameters.no_context_takeover:
        self.zlib = space.inflater
        space.inflater = NULL
        if self.zlib == NULL:
            self.zlib = make(MAX_WBITS)
        elif inflateReset(self.zlib) != Z_OK:
            inflater_free(self)
    elif self.zlib == NULL:
        self.zlib = make(max(self.parameters.window_bits, SMALLEST_WINDOW))
        self.broken = self.zlib == NULL
    return self.zlib != NULL


cdef InflateState inflater_step(Inflater *self, const uint8_t **data, size_t *size,
                                uint8_t *out, size_t room, size_t *made) noexcept nogil:
    cdef z_stream *zlib = self.zlib
    cdef unsigned int given
    cdef int result
    zlib.next_out = out
    zlib.avail_out = <unsigned int>min(room, <size_t>INPUT_BYTES)
    made[0] = 0
    room = zlib.avail_out
    while True:
        given = <unsigned int>min(size[0], <size_t>INPUT_BYTES)
        zlib.next_in = <uint8_t *>data[0]
        zlib.avail_in = given
        result = inflate(zlib, Z_SYNC_FLUSH)
        data[0] += given - zlib.avail_in
        size[0] -= given - zlib.avail_in
        made[0] = room - zlib.avail_out
        self.final = result == Z_STREAM_END
        if self.final:
            # RFC 7692 7.2.3.4: a block with BFINAL set; more blocks may follow, and the window
            # goes on, so not inflateReset.
            if inflateResetKeep(zlib) != Z_OK:
                return INFLATE_BAD
        elif result not in (Z_OK, Z_BUF_ERROR):
            return INFLATE_BAD
        elif not zlib.avail_out:
            return INFLATE_FULL
        if not size[0]:
            return INFLATE_DONE


cdef void inflater_end(Inflater *self, Workspace *space, bint whole) noexcept nogil:
    if not self.parameters.no_context_takeover:
        if not whole:
            self.broken = True
            inflater_free(self)
    elif space != NULL and space.inflater == NULL:
        space.inflater = self.zlib
        self.zlib = NULL
    else:
        inflater_free(self)


cdef size_t inflater_memory(const Inflater *self) noexcept nogil:
    cdef size_t window
    if self.zlib == NULL:
        return 0
    window = MAX_WBITS if self.parameters.no_context_takeover else max(
        self.parameters.window_bits, SMALLEST_WINDOW)
    return sizeof(z_stream) + STATE_BYTES + (<size_t>1 << window)


cdef void inflater_free(Inflater *self) noexcept nogil:
    if self.zlib != NULL:
        inflateEnd(self.zlib)
        free(self.zlib)
        self.zlib = NULL
