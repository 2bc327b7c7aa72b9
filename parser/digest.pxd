"""SHA-256 of what comes in pieces, or at once."""

from libc.stdint cimport uint8_t

cdef extern from *:
    """
    #define OPENSSL_SUPPRESS_DEPRECATED
    #include <openssl/sha.h>
    """
    ctypedef struct Digest "SHA256_CTX":
        pass

cdef enum:
    SHA256_BYTES = 32

# Starts anew; `digest` is made at its first use and freed by digest_free.  False: no memory.
cdef bint digest_start(Digest **digest) noexcept nogil
cdef void digest_update(Digest *digest, const uint8_t *data, size_t size) noexcept nogil
cdef void digest_finish(Digest *digest, uint8_t *out) noexcept nogil
cdef void digest_free(Digest **digest) noexcept nogil

# Of `size` bytes that lie together.
cdef void digest_of(const uint8_t *data, size_t size, uint8_t *out) noexcept nogil
