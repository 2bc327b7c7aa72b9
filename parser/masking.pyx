"""Chooses the variant of the payload kernels once, at import."""

from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from sockwarden.parser.buffer cimport SLACK

cdef extern from "simd/masking.h" nogil:
    struct sw_masking:
        const char *name
        int (*supported)() noexcept nogil
        unmask_function unmask
        non_ascii_function non_ascii
    const sw_masking sw_masking_plain, sw_masking_sse2, sw_masking_avx2
    const sw_masking sw_masking_avx512, sw_masking_neon

cdef const sw_masking *KERNELS[5]
KERNELS = [&sw_masking_avx512, &sw_masking_avx2, &sw_masking_sse2, &sw_masking_neon,
           &sw_masking_plain]


def variants():
    return tuple(kernel.name.decode() for kernel in KERNELS if kernel.supported())


cdef const sw_masking *kernel_named(str variant) except NULL:
    cdef const sw_masking *kernel
    for kernel in KERNELS:
        if kernel.supported() and variant in (None, kernel.name.decode()):
            return kernel
    raise ValueError(f"no masking variant {variant!r} on this processor; there are {variants()}")


def unmasked(const uint8_t[::1] data, bytes key, variant=None):
    cdef const sw_masking *kernel = kernel_named(variant)
    cdef size_t size = data.shape[0]
    cdef const uint8_t *source = &data[0] if size else NULL
    cdef uint32_t word
    cdef uint8_t *out
    if len(key) != 4:
        raise ValueError(f"a masking key has 4 bytes, not {len(key)}")
    memcpy(&word, <const char *>key, 4)
    out = <uint8_t *>malloc(size + SLACK)
    if out == NULL:
        raise MemoryError
    try:
        ascii_only = not kernel.unmask(out, source, size, word)
        if size and ascii_only != (not kernel.non_ascii(out, size)):
            raise AssertionError("kernels of one variant disagree")
        return out[:size], ascii_only
    finally:
        free(out)


unmask = kernel_named(None).unmask
non_ascii = kernel_named(None).non_ascii
