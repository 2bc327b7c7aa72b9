"""What a thread lends to the connection that it works on, so that an idle one holds no buffer."""

from libc.stdint cimport int16_t, int32_t, uint8_t, uint32_t, uint64_t

from sockwarden.parser.buffer cimport Buffer

# ISA-L's inflater.  It decodes into `output`, whose first `output_size` octets are what came
# before; so history and new octets lie in one piece.
cdef extern from "isa-l/igzip_lib.h" nogil:
    enum:
        ISAL_DEF_HIST_SIZE
        ISAL_DECOMP_OK
        ISAL_BLOCK_NEW_HDR
        ISAL_BLOCK_INPUT_DONE
        ISAL_BLOCK_FINISH
    struct inflate_state:
        uint8_t *next_in
        uint32_t avail_in
        uint8_t *next_out
        uint32_t avail_out
        uint32_t total_out
        uint64_t read_in            # bits that were read and not used,
        int32_t read_in_length      # so many
        int block_state
        int16_t tmp_in_size         # octets of a block's header that is not whole
        uint8_t *output "tmp_out_buffer"
        int32_t output_size "tmp_out_valid"
        int32_t output_given "tmp_out_processed"
    void isal_inflate_init(inflate_state *state)
    void isal_inflate_reset(inflate_state *state)
    int isal_inflate(inflate_state *state)

cdef extern from "workspace.h" nogil:
    enum:
        SW_SCRATCH_BYTES
        SW_SPARES

    struct sw_spare:
        uint8_t *data
        size_t room

    struct sw_workspace:
        sw_spare *spare     # SW_SPARES: of SMALL_BYTES at most, of four times as many, ...
        inflate_state *inflater         # of the message that was inflated last, or is now
        inflate_state *idle_inflater
        const void *inflated            # whose it was: an Inflater, or NULL
        uint8_t *packed     # SW_SCRATCH_BYTES, and SLACK behind them: masked input
        uint8_t *scratch    # as large: output that nobody keeps

ctypedef sw_workspace Workspace

cdef enum:
    SMALL_BYTES = 16 << 10  # room of a small spare buffer at most: it is lent for any message

# This thread's.  NULL: no memory.
cdef Workspace *workspace_get() noexcept nogil

# For what is below.
cdef bint workspace_more(Workspace *self, Buffer *buffer, size_t size,
                         uint64_t expected) noexcept nogil
cdef void workspace_keep(Workspace *self, Buffer *buffer) noexcept nogil


# Room for `size` bytes in all, which have come, of `expected` ones: by a spare buffer that is
# not far larger, else by more memory.  False, and nothing changed: there is none.
cdef inline bint workspace_grow(Workspace *self, Buffer *buffer, size_t size,
                                uint64_t expected) noexcept nogil:
    if buffer.data != NULL or size > self.spare[0].room:
        return workspace_more(self, buffer, size, expected)
    buffer.data = self.spare[0].data
    buffer.room = self.spare[0].room
    self.spare[0].data = NULL
    self.spare[0].room = 0
    return True


# Takes the buffer of a finished message back; of each size, up to a bound, the largest stays.
cdef inline void workspace_return(Workspace *self, Buffer *buffer) noexcept nogil:
    if buffer.room > SMALL_BYTES or self.spare[0].data != NULL:
        workspace_keep(self, buffer)
        return
    self.spare[0].data = buffer.data
    self.spare[0].room = buffer.room
    buffer.data = NULL
    buffer.size = buffer.room = 0
