"""What a thread lends to the connection that it works on, so that an idle one holds no buffer."""

from libc.stdint cimport uint8_t, uint64_t

from sockwarden.parser.buffer cimport Buffer

cdef extern from "zlib.h" nogil:
    ctypedef struct z_stream:
        uint8_t *next_in
        unsigned int avail_in
        uint8_t *next_out
        unsigned int avail_out

cdef extern from "workspace.h" nogil:
    enum: SW_SCRATCH_BYTES

    struct sw_spare:
        uint8_t *data
        size_t room

    struct sw_workspace:
        sw_spare *spare     # two: a small one, a large one
        z_stream *inflater  # windowBits -15, or NULL
        uint8_t *packed     # SW_SCRATCH_BYTES, and SLACK behind them: masked input
        uint8_t *scratch    # as large: output that nobody keeps

ctypedef sw_workspace Workspace

# This thread's.  NULL: no memory.
cdef Workspace *workspace_get() noexcept nogil

# Room for `size` bytes in all, which have come, of `expected` ones: by a spare buffer that is
# not far larger, else by more memory.  False, and nothing changed: there is none.
cdef bint workspace_grow(Workspace *self, Buffer *buffer, size_t size,
                         uint64_t expected) noexcept nogil

# Takes the buffer of a finished message back; of small ones and of large ones, up to a bound,
# the largest stays.
cdef void workspace_return(Workspace *self, Buffer *buffer) noexcept nogil
