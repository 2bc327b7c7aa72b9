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

/* Nonzero where the block is wrong, by the block before it. */
TARGET static inline int wrong(__m512i block, __m512i before)
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
    const __m512i errors = _mm512_xor_si512(
        _mm512_and_si512(third_or_fourth, _mm512_set1_epi8((char)0x80)), pairs);
    return _mm512_test_epi8_mask(errors, errors) != 0;
}

TARGET static size_t prefix(const uint8_t *data, size_t size)
{
    __m512i before = _mm512_setzero_si512();
    size_t at = 0;
    for (; at + BLOCK <= size; at += BLOCK) {
        const __m512i block = _mm512_loadu_si512(data + at);
        if (wrong(block, before))
            return sw_utf8_boundary(data, at);
        before = block;
    }
    const __mmask64 here = _bzhi_u64(~0ull, (unsigned)(size - at));
    if (wrong(_mm512_maskz_loadu_epi8(here, data + at), before))
        return sw_utf8_boundary(data, at);
    return size;
}

#else

static int supported(void)
{
    return 0;
}
#define prefix 0

#endif

const struct sw_utf8 sw_utf8_avx512 = {"avx512", supported, prefix};
