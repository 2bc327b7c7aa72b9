/* 32 bytes at once; the rest goes through words of eight. */
#include "masking.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx2")))

static int supported(void)
{
    return __builtin_cpu_supports("avx2");
}

TARGET static int unmask(uint8_t *out, const uint8_t *in, size_t size, uint32_t key)
{
    const __m256i keys = _mm256_set1_epi32((int)key);
    __m256i seen = _mm256_setzero_si256();
    for (; size >= 32; size -= 32, in += 32, out += 32) {
        const __m256i block = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)in), keys);
        _mm256_storeu_si256((__m256i *)out, block);
        seen = _mm256_or_si256(seen, block);
    }
    return sw_unmask_rest(out, in, size, key) | _mm256_movemask_epi8(seen);
}

TARGET static int non_ascii(const uint8_t *in, size_t size)
{
    __m256i seen = _mm256_setzero_si256();
    for (; size >= 32; size -= 32, in += 32)
        seen = _mm256_or_si256(seen, _mm256_loadu_si256((const __m256i *)in));
    return sw_non_ascii_rest(in, size) | _mm256_movemask_epi8(seen);
}

#else

static int supported(void)
{
    return 0;
}
#define unmask 0
#define non_ascii 0

#endif

const struct sw_masking sw_masking_avx2 = {"avx2", supported, unmask, non_ascii};
