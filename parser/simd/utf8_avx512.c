/* See utf8.h. */
#include "utf8.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512bw,bmi2")))

typedef __m512i block;
enum { BLOCK = 64 };

static int supported(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("bmi2");
}

TARGET static inline block zeros(void)
{
    return _mm512_setzero_si512();
}

TARGET static inline block load(const uint8_t *data)
{
    return _mm512_loadu_si512(data);
}

TARGET static inline block load_part(const uint8_t *data, size_t size)
{
    return _mm512_maskz_loadu_epi8(_bzhi_u64(~0ull, (unsigned)size), data);
}

TARGET static inline void store(uint8_t *out, block octets)
{
    _mm512_storeu_si512(out, octets);
}

TARGET static inline block repeated(uint32_t key)
{
    return _mm512_set1_epi32((int)key);
}

TARGET static inline block both(block a, block b)
{
    return _mm512_or_si512(a, b);
}

TARGET static inline block different(block a, block b)
{
    return _mm512_xor_si512(a, b);
}

TARGET static inline int is_ascii(block octets)
{
    return _mm512_movepi8_mask(octets) == 0;
}

TARGET static inline int is_zero(block octets)
{
    return _mm512_test_epi8_mask(octets, octets) == 0;
}

TARGET static inline block upper(block octets)
{
    return _mm512_and_si512(_mm512_srli_epi16(octets, 4), _mm512_set1_epi8(0x0f));
}

TARGET static inline block table_of(const uint8_t *table)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)table));
}

TARGET static inline block errors_in(block here, block back_1, block back_2, block back_3)
{
    static const uint8_t first_upper[16] = {SW_FIRST_UPPER};
    static const uint8_t first_lower[16] = {SW_FIRST_LOWER};
    static const uint8_t second_upper[16] = {SW_SECOND_UPPER};
    const block lower = _mm512_and_si512(back_1, _mm512_set1_epi8(0x0f));
    const block pairs = _mm512_and_si512(
        _mm512_and_si512(_mm512_shuffle_epi8(table_of(first_upper), upper(back_1)),
                         _mm512_shuffle_epi8(table_of(first_lower), lower)),
        _mm512_shuffle_epi8(table_of(second_upper), upper(here)));
    const block third_or_fourth =
        _mm512_or_si512(_mm512_subs_epu8(back_2, _mm512_set1_epi8(0xE0 - 0x80)),
                        _mm512_subs_epu8(back_3, _mm512_set1_epi8((char)(0xF0 - 0x80))));
    return _mm512_xor_si512(
        _mm512_and_si512(third_or_fourth, _mm512_set1_epi8((char)0x80)), pairs);
}

TARGET static inline block errors_of(block here, block before)
{
    const block joint = _mm512_alignr_epi32(here, before, 12);
    return errors_in(here, _mm512_alignr_epi8(here, joint, 15),
                     _mm512_alignr_epi8(here, joint, 14),
                     _mm512_alignr_epi8(here, joint, 13));
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

const struct sw_utf8 sw_utf8_avx512 = {"avx512", supported, prefix, unmask_prefix};
