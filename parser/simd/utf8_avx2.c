/* See utf8.h. */
#include "utf8.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#define TARGET __attribute__((target("avx2")))

typedef __m256i block;
enum { BLOCK = 32 };

static int supported(void)
{
    return __builtin_cpu_supports("avx2");
}

TARGET static inline block zeros(void)
{
    return _mm256_setzero_si256();
}

TARGET static inline block load(const uint8_t *data)
{
    return _mm256_loadu_si256((const __m256i *)data);
}

TARGET static inline block load_part(const uint8_t *data, size_t size)
{
    uint8_t part[BLOCK] = {0};
    memcpy(part, data, size);
    return load(part);
}

TARGET static inline void store(uint8_t *out, block octets)
{
    _mm256_storeu_si256((__m256i *)out, octets);
}

TARGET static inline block repeated(uint32_t key)
{
    return _mm256_set1_epi32((int)key);
}

TARGET static inline block both(block a, block b)
{
    return _mm256_or_si256(a, b);
}

TARGET static inline block different(block a, block b)
{
    return _mm256_xor_si256(a, b);
}

TARGET static inline int is_ascii(block octets)
{
    return _mm256_movemask_epi8(octets) == 0;
}

TARGET static inline int is_zero(block octets)
{
    return _mm256_testz_si256(octets, octets);
}

TARGET static inline block upper(block octets)
{
    return _mm256_and_si256(_mm256_srli_epi16(octets, 4), _mm256_set1_epi8(0x0f));
}

TARGET static inline block table_of(const uint8_t *table)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)table));
}

TARGET static inline block errors_in(block here, block back_1, block back_2, block back_3)
{
    static const uint8_t first_upper[16] = {SW_FIRST_UPPER};
    static const uint8_t first_lower[16] = {SW_FIRST_LOWER};
    static const uint8_t second_upper[16] = {SW_SECOND_UPPER};
    const block lower = _mm256_and_si256(back_1, _mm256_set1_epi8(0x0f));
    const block pairs = _mm256_and_si256(
        _mm256_and_si256(_mm256_shuffle_epi8(table_of(first_upper), upper(back_1)),
                         _mm256_shuffle_epi8(table_of(first_lower), lower)),
        _mm256_shuffle_epi8(table_of(second_upper), upper(here)));
    const block third_or_fourth =
        _mm256_or_si256(_mm256_subs_epu8(back_2, _mm256_set1_epi8(0xE0 - 0x80)),
                        _mm256_subs_epu8(back_3, _mm256_set1_epi8((char)(0xF0 - 0x80))));
    return _mm256_xor_si256(
        _mm256_and_si256(third_or_fourth, _mm256_set1_epi8((char)0x80)), pairs);
}

TARGET static inline block errors_of(block here, block before)
{
    const block joint = _mm256_permute2x128_si256(before, here, 0x21);
    return errors_in(here, _mm256_alignr_epi8(here, joint, 15),
                     _mm256_alignr_epi8(here, joint, 14),
                     _mm256_alignr_epi8(here, joint, 13));
}

#include "utf8_blocks.h"

#else

static int supported(void)
{
    return 0;
}
#define prefix 0
#define unmask_prefix 0

#endif

const struct sw_utf8 sw_utf8_avx2 = {"avx2", supported, prefix, unmask_prefix};
