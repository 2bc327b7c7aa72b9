/* 32 bytes at once; the rest goes through words of eight. */
#include "masking.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#define TARGET __attribute__((target("avx2")))
#define HIGH_BITS 0x8080808080808080u

static int supported(void)
{
    return __builtin_cpu_supports("avx2");
}

TARGET static int unmask(uint8_t *out, const uint8_t *in, size_t size, uint32_t key)
{
    const __m256i keys = _mm256_set1_epi32((int)key);
    __m256i seen = _mm256_setzero_si256();
    size_t at = 0;
    for (; at + 32 <= size; at += 32) {
        __m256i block =
            _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(in + at)), keys);
        _mm256_storeu_si256((__m256i *)(out + at), block);
        seen = _mm256_or_si256(seen, block);
    }
    const uint64_t words = (uint64_t)key << 32 | key;
    uint64_t rest = 0;
    for (; at + 8 <= size; at += 8) {
        uint64_t word;
        memcpy(&word, in + at, 8);
        word ^= words;
        memcpy(out + at, &word, 8);
        rest |= word;
    }
    for (; at < size; at++) {
        out[at] = (uint8_t)(in[at] ^ key >> 8 * (at & 3));
        rest |= out[at];
    }
    return _mm256_movemask_epi8(seen) || (rest & HIGH_BITS);
}

TARGET static int non_ascii(const uint8_t *in, size_t size)
{
    __m256i seen = _mm256_setzero_si256();
    size_t at = 0;
    for (; at + 32 <= size; at += 32)
        seen = _mm256_or_si256(seen, _mm256_loadu_si256((const __m256i *)(in + at)));
    uint64_t rest = 0;
    for (; at + 8 <= size; at += 8) {
        uint64_t word;
        memcpy(&word, in + at, 8);
        rest |= word;
    }
    for (; at < size; at++)
        rest |= in[at];
    return _mm256_movemask_epi8(seen) || (rest & HIGH_BITS);
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
