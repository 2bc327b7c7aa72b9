# distutils: libraries = crypto
"""SHA-256 by OpenSSL, whose code is the fastest on each processor.

By its functions for this one hash: the ones for any hash (EVP) cost more than the hash of a short
message itself.
"""

from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc

cdef extern from "openssl/sha.h" nogil:
    int SHA256_Init(Digest *digest)
    int SHA256_Update(Digest *digest, const void *data, size_t size)
    int SHA256_Final(uint8_t *out, Digest *digest)


cdef bint digest_start(Digest **digest) noexcept nogil:
    if digest[0] == NULL:
        digest[0] = <Digest *>malloc(sizeof(Digest))
    return digest[0] != NULL and SHA256_Init(digest[0]) == 1


cdef void digest_update(Digest *digest, const uint8_t *data, size_t size) noexcept nogil:
    SHA256_Update(digest, data, size)


cdef void digest_finish(Digest *digest, uint8_t *out) noexcept nogil:
    SHA256_Final(out, digest)


cdef void digest_free(Digest **digest) noexcept nogil:
    free(digest[0])
    digest[0] = NULL


cdef void digest_of(const uint8_t *data, size_t size, uint8_t *out) noexcept nogil:
    cdef Digest digest
    SHA256_Init(&digest)
    SHA256_Update(&digest, data, size)
    SHA256_Final(out, &digest)
