# distutils: libraries = crypto
"""SHA-256 by OpenSSL, whose code is the fastest on each processor."""

from libc.stdint cimport uint8_t

cdef extern from "openssl/evp.h" nogil:
    ctypedef struct EVP_MD:
        pass
    EVP_MD *EVP_MD_fetch(void *context, const char *algorithm, const char *properties)
    EVP_MD_CTX *EVP_MD_CTX_new()
    void EVP_MD_CTX_free(EVP_MD_CTX *context)
    int EVP_DigestInit_ex(EVP_MD_CTX *context, const EVP_MD *kind, void *engine)
    int EVP_DigestUpdate(EVP_MD_CTX *context, const void *data, size_t size)
    int EVP_DigestFinal_ex(EVP_MD_CTX *context, uint8_t *out, unsigned int *size)

# Fetched once: an implicit fetch in each message costs more than the digest.
cdef EVP_MD *SHA256 = EVP_MD_fetch(NULL, "SHA2-256", NULL)
if SHA256 == NULL:
    raise ImportError("OpenSSL offers no SHA2-256; see its configuration of providers")


cdef bint digest_start(EVP_MD_CTX **context) noexcept nogil:
    if context[0] == NULL:
        context[0] = EVP_MD_CTX_new()
    return context[0] != NULL and EVP_DigestInit_ex(context[0], SHA256, NULL) == 1


cdef void digest_update(EVP_MD_CTX *context, const uint8_t *data, size_t size) noexcept nogil:
    EVP_DigestUpdate(context, data, size)


cdef void digest_finish(EVP_MD_CTX *context, uint8_t *out) noexcept nogil:
    EVP_DigestFinal_ex(context, out, NULL)


cdef void digest_free(EVP_MD_CTX **context) noexcept nogil:
    EVP_MD_CTX_free(context[0])
    context[0] = NULL
