"""What is used of zlib."""

from libc.stdint cimport uint8_t

cdef extern from "zlib.h" nogil:
    enum:
        Z_OK
        Z_STREAM_END
        Z_BUF_ERROR
        Z_DATA_ERROR
        Z_SYNC_FLUSH
        MAX_WBITS
    ctypedef struct z_stream:
        const uint8_t *next_in
        unsigned int avail_in
        uint8_t *next_out
        unsigned int avail_out
        int data_type
    int inflateInit2(z_stream *stream, int window_bits)
    int inflateEnd(z_stream *stream)
    int inflateReset(z_stream *stream)
    int inflateResetKeep(z_stream *stream)
    int inflateSetDictionary(z_stream *stream, const uint8_t *dictionary, unsigned int size)
    int inflateGetDictionary(z_stream *stream, uint8_t *dictionary, unsigned int *size)
    int inflate(z_stream *stream, int flush)

cdef enum:
    AT_BLOCK_END = 128  # in data_type
