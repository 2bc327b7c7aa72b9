/* See utf8.h. */
#include "utf8.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512bw,bmi2")))

enum { BLOCK = 64 };

static int supported(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("bmi2");
}

TARGET static inline __m512i upper(__m512i block)
{
    return _mm512_and_si512(_mm512_srli_epi16(block, 4), _mm512_set1_epi8(0x0f));
}

TARGET static inline __m512i table_of(const uint8_t *table)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)table));
}

/* Where the block is wrong, by the block before it. */
TARGET static inline __m512i errors_of(__m512i block, __m512i before)
{
    static const uint8_t first_upper[16] = {SW_FIRST_UPPER};
    static const uint8_t first_lower[16] = {SW_FIRST_LOWER};
    static const uint8_t second_upper[16] = {SW_SECOND_UPPER};
    const __m512i joint = _mm512_alignr_epi32(block, before, 12);
    const __m512i back_1 = _mm512_alignr_epi8(block, joint, 15);
    const __m512i back_2 = _mm512_alignr_epi8(block, joint, 14);
    const __m512i back_3 = _mm512_alignr_epi8(block, joint, 13);
    const __m512i lower = _mm512_and_si512(back_1, _mm512_set1_epi8(0x0f));
    const __m512i pairs = _mm512_and_si512(
        _mm512_and_si512(_mm512_shuffle_epi8(table_of(first_upper), upper(back_1)),
                         _mm512_shuffle_epi8(table_of(first_lower), lower)),
        _mm512_shuffle_epi8(table_of(second_upper), upper(block)));
    const __m512i third_or_fourth =
        _mm512_or_si512(_mm512_subs_epu8(back_2, _mm512_set1_epi8(0xE0 - 0x80)),
                        _mm512_subs_epu8(back_3, _mm512_set1_epi8((char)(0xF0 - 0x80))));
    return _mm512_xor_si512(
        _mm512_and_si512(third_or_fourth, _mm512_set1_epi8((char)0x80)), pairs);
}

TARGET static inline int any(__m512i errors)
{
    return _mm512_test_epi8_mask(errors, errors) != 0;
}

TARGET static inline __m512i unmasked(uint8_t *out, const uint8_t *in, __m512i keys)
{
    const __m512i block = _mm512_xor_si512(_mm512_loadu_si512(in), keys);
    _mm512_storeu_si512(out, block);
    return block;
}

TARGET static size_t prefix(const uint8_t *data, size_t size)
{
    __m512i before = _mm512_setzero_si512();
    size_t at = 0;
    for (; at + BLOCK <= size; at += BLOCK) {
        const __m512i block = _mm512_loadu_si512(data + at);
        if (any(errors_of(block, before)))
            return sw_utf8_boundary(data, at);
        before = block;
    }
    const __mmask64 here = _bzhi_u64(~0ull, (unsigned)(size - at));
    if (any(errors_of(_mm512_maskz_loadu_epi8(here, data + at), before)))
        return sw_utf8_boundary(data, at);
    return size;
}

TARGET static size_t unmask_prefix(uint8_t *out, const uint8_t *in, size_t size, uint32_t key)
{
    const __m512i keys = _mm512_set1_epi32((int)key);
    __m512i before = _mm512_setzero_si512(), errors = before;
    size_t at = 0;
    for (; at + 4 * BLOCK <= size; at += 4 * BLOCK) {
        const __m512i a = unmasked(out + at, in + at, keys);
        const __m512i b = unmasked(out + at + BLOCK, in + at + BLOCK, keys);
        const __m512i c = unmasked(out + at + 2 * BLOCK, in + at + 2 * BLOCK, keys);
        const __m512i d = unmasked(out + at + 3 * BLOCK, in + at + 3 * BLOCK, keys);
        const __m512i all = _mm512_or_si512(_mm512_or_si512(a, b), _mm512_or_si512(c, d));
        /* `before` too: it may end within a character. */
        if (_mm512_movepi8_mask(_mm512_or_si512(all, before))) {
            errors = _mm512_or_si512(errors, errors_of(a, before));
            errors = _mm512_or_si512(errors, errors_of(b, a));
            errors = _mm512_or_si512(errors, errors_of(c, b));
            errors = _mm512_or_si512(errors, errors_of(d, c));
        }
        before = d;
    }
    for (; at + BLOCK <= size; at += BLOCK) {
        const __m512i block = unmasked(out + at, in + at, keys);
        errors = _mm512_or_si512(errors, errors_of(block, before));
        before = block;
    }
    /* Zeros behind the end: an unfinished character is an error. */
    const __mmask64 here = _bzhi_u64(~0ull, (unsigned)(size - at));
    const __m512i block = _mm512_maskz_mov_epi8(
        here, _mm512_xor_si512(_mm512_maskz_loadu_epi8(here, in + at), keys));
    _mm512_storeu_si512(out + at, block);
    errors = _mm512_or_si512(errors, errors_of(block, before));
    return any(errors) ? prefix(out, size) : size;
}

#else

static int supported(void)
{
    return 0;
}
#define prefix 0
#define unmask_prefix 0

#endif

const struct sw_utf8 sw_utf8_avx512 = {"avx512", supported, prefix, unmask_prefix};
