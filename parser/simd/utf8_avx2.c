/* See utf8.h. */
#include "utf8.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#define TARGET __attribute__((target("avx2")))

enum { BLOCK = 32 };

static int supported(void)
{
    return __builtin_cpu_supports("avx2");
}

TARGET static inline __m256i look_up(__m256i table, __m256i halves)
{
    return _mm256_shuffle_epi8(table, halves);
}

TARGET static inline __m256i upper(__m256i block)
{
    return _mm256_and_si256(_mm256_srli_epi16(block, 4), _mm256_set1_epi8(0x0f));
}

TARGET static inline __m256i table_of(const uint8_t *table)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)table));
}

/* Nonzero where the block is wrong, by the block before it. */
TARGET static inline int wrong(__m256i block, __m256i before)
{
    static const uint8_t first_upper[16] = {SW_FIRST_UPPER};
    static const uint8_t first_lower[16] = {SW_FIRST_LOWER};
    static const uint8_t second_upper[16] = {SW_SECOND_UPPER};
    const __m256i joint = _mm256_permute2x128_si256(before, block, 0x21);
    const __m256i back_1 = _mm256_alignr_epi8(block, joint, 15);
    const __m256i back_2 = _mm256_alignr_epi8(block, joint, 14);
    const __m256i back_3 = _mm256_alignr_epi8(block, joint, 13);
    const __m256i pairs = _mm256_and_si256(
        _mm256_and_si256(look_up(table_of(first_upper), upper(back_1)),
                         look_up(table_of(first_lower),
                                 _mm256_and_si256(back_1, _mm256_set1_epi8(0x0f)))),
        look_up(table_of(second_upper), upper(block)));
    const __m256i third_or_fourth =
        _mm256_or_si256(_mm256_subs_epu8(back_2, _mm256_set1_epi8(0xE0 - 0x80)),
                        _mm256_subs_epu8(back_3, _mm256_set1_epi8((char)(0xF0 - 0x80))));
    const __m256i errors = _mm256_xor_si256(
        _mm256_and_si256(third_or_fourth, _mm256_set1_epi8((char)0x80)), pairs);
    return !_mm256_testz_si256(errors, errors);
}

TARGET static size_t prefix(const uint8_t *data, size_t size)
{
    __m256i before = _mm256_setzero_si256();
    uint8_t last[BLOCK] = {0};
    size_t at = 0;
    for (; at + BLOCK <= size; at += BLOCK) {
        const __m256i block = _mm256_loadu_si256((const __m256i *)(data + at));
        if (wrong(block, before))
            return sw_utf8_boundary(data, at);
        before = block;
    }
    memcpy(last, data + at, size - at);
    if (wrong(_mm256_loadu_si256((const __m256i *)last), before))
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

const struct sw_utf8 sw_utf8_avx2 = {"avx2", supported, prefix, 0};
