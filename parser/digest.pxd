"""SHA-256 of what comes in pieces."""

from libc.stdint cimport uint8_t

cdef extern from "openssl/evp.h" nogil:
    ctypedef struct EVP_MD_CTX:
        pass

cdef enum:
    SHA256_BYTES = 32

# Starts anew; `context` is made at its first use and freed by digest_free.  False: no memory.
cdef bint digest_start(EVP_MD_CTX **context) noexcept nogil
cdef void digest_update(EVP_MD_CTX *context, const uint8_t *data, size_t size) noexcept nogil
cdef void digest_finish(EVP_MD_CTX *context, uint8_t *out) noexcept nogil
cdef void digest_free(EVP_MD_CTX **context) noexcept nogil
