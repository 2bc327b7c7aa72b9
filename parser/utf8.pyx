"""Vectors where the processor has them, and the scalar code that tells the octet; see utf8.pxd.

RFC 3629 section 4, as the range of the second octet by the first:

    C2..DF  80..BF          E1..EC, EE, EF  80..BF (2)     F1..F3  80..BF (3)
    E0      A0..BF (2)      ED              80..9F (2)     F0      90..BF (3)
                                                           F4      80..8F (3)
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from sockwarden.parser.buffer cimport SLACK
from sockwarden.parser.masking cimport rotate, unmask

cdef extern from "simd/utf8.h" nogil:
    ctypedef size_t (*prefix_function "sw_utf8_fn")(const uint8_t *data, size_t size) noexcept
    ctypedef size_t (*unmask_prefix_function "sw_unmask_utf8_fn")(
        uint8_t *out, const uint8_t *data, size_t size, uint32_t key,
        uint8_t *mixed) noexcept
    struct sw_utf8:
        const char *name
        int (*supported)()
        prefix_function prefix
        unmask_prefix_function unmask_prefix
    const sw_utf8 sw_utf8_sse2, sw_utf8_avx2, sw_utf8_avx512, sw_utf8_neon

cdef enum:
    HIGH_BITS = 0x8080808080808080
    LEAST_VECTOR_BYTES = 16  # below, the scalar code is as fast

# The vector kernels in use; NULL: none.
cdef prefix_function PREFIX = NULL
cdef unmask_prefix_function UNMASK_PREFIX = NULL


cdef inline bint lead(Utf8 *self, uint8_t octet) noexcept nogil:
    self.low = 0x80
    self.high = 0xBF
    if 0xC2 <= octet <= 0xDF:
        self.need = 1
    elif 0xE0 <= octet <= 0xEF:
        self.need = 2
        if octet == 0xE0:
            self.low = 0xA0
        elif octet == 0xED:
            self.high = 0x9F
    elif 0xF0 <= octet <= 0xF4:
        self.need = 3
        if octet == 0xF0:
            self.low = 0x90
        elif octet == 0xF4:
            self.high = 0x8F
    else:
        return False
    return True


cdef size_t scalar_feed(Utf8 *self, const uint8_t *data, size_t size) noexcept nogil:
    cdef size_t at = 0
    cdef uint64_t word
    cdef uint8_t octet
    cdef Utf8 state = self[0]
    while at < size:
        octet = data[at]
        if state.need:
            if not state.low <= octet <= state.high:
                break
            state.need -= 1
            state.low = 0x80
            state.high = 0xBF
        elif octet >= 0x80:
            if not lead(&state, octet):
                break
        elif size - at >= 8:
            memcpy(&word, data + at, 8)
            if not word & <uint64_t>HIGH_BITS:
                at += 8
                continue
        at += 1
    self[0] = state
    return at


cdef size_t utf8_feed(Utf8 *self, const uint8_t *data, size_t size) noexcept nogil:
    cdef size_t begun = 0, fine
    if PREFIX == NULL or size < LEAST_VECTOR_BYTES:
        return scalar_feed(self, data, size)
    if self.need:
        # The character that the last chunk left open.
        begun = self.need
        fine = scalar_feed(self, data, begun)
        if fine < begun:
            return fine
    fine = begun + PREFIX(data + begun, size - begun)
    return fine + scalar_feed(self, data + fine, size - fine)


cdef size_t utf8_unmask_long(Utf8 *self, uint8_t *out, const uint8_t *data, size_t size,
                             uint32_t key) noexcept nogil:
    cdef size_t begun = self.need, fine
    if UNMASK_PREFIX == NULL or size - begun < SW_UTF8_LONG_BYTES:
        if not unmask(out, data, size, key) and not begun:
            return size
        return utf8_feed(self, out, size)
    if begun:
        # The character that the last chunk left open.
        unmask(out, data, begun, key)
        fine = scalar_feed(self, out, begun)
        if fine < begun:
            unmask(out, data, size, key)
            return fine
    fine = begun + UNMASK_PREFIX(out + begun, data + begun, size - begun, rotate(key, begun),
                                 &self.mixed)
    return fine + scalar_feed(self, out + fine, size - fine) if fine < size else size


cdef dict kernels():
    cdef const sw_utf8 *kernel
    cdef const sw_utf8 *known[4]
    known = [&sw_utf8_avx512, &sw_utf8_avx2, &sw_utf8_sse2, &sw_utf8_neon]
    found = {}
    for kernel in known:
        if kernel.supported():
            found[kernel.name.decode()] = (<size_t>kernel.prefix, <size_t>kernel.unmask_prefix)
    return found | {"plain": (0, 0)}


def variants():
    return tuple(kernels())


def use(variant):
    global PREFIX, UNMASK_PREFIX
    prefix, unmask_prefix = kernels()[variant]
    PREFIX = <prefix_function><size_t>prefix
    UNMASK_PREFIX = <unmask_prefix_function><size_t>unmask_prefix


def unmasked_prefix(bytes masked, bytes key, bytes before=b"", bint mixed=False):
    cdef Utf8 state = Utf8(0, 0, 0, mixed)
    cdef size_t size = len(masked)
    cdef uint32_t word
    cdef uint8_t *out = <uint8_t *>malloc(size + SLACK)
    if out == NULL:
        raise MemoryError
    try:
        memcpy(&word, <const char *>key, sizeof(word))
        utf8_feed(&state, before, len(before))
        fine = utf8_unmask(&state, out, masked, size, word)
        return out[:size], fine, fine == size and state.need == 0
    finally:
        free(out)


def valid_prefix(*chunks: bytes):
    cdef Utf8 state = Utf8(0, 0, 0, False)
    cdef size_t total = 0, fine
    for chunk in chunks:
        fine = utf8_feed(&state, chunk, len(chunk))
        total += fine
        if fine < <size_t>len(chunk):
            return total, False
    return total, state.need == 0


use(variants()[0])
