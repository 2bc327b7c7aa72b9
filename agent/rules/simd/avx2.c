/* 32 places at once, by halves of bytes; what passes is tested by whole bytes before a compare. */
#include "gate.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#define TARGET __attribute__((target("avx2")))

enum { BLOCK = 32 };

static int supported(void)
{
    return __builtin_cpu_supports("avx2");
}

TARGET static inline __m256i table(const uint8_t *halves)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)halves));
}

/* Buckets of one half of them that the blocks at the three places of the window pass. */
TARGET static inline __m256i passed(const sw_gate *gate, int half, const __m256i *lower,
                                    const __m256i *upper)
{
    __m256i all = _mm256_set1_epi8(-1);
    for (int i = 0; i < SW_WINDOW; i++) {
        all = _mm256_and_si256(all, _mm256_shuffle_epi8(table(gate->lower[half][i]), lower[i]));
        all = _mm256_and_si256(all, _mm256_shuffle_epi8(table(gate->upper[half][i]), upper[i]));
    }
    return all;
}

/* Places of the block at `text`, of which SW_WINDOW - 1 bytes more can be read, that pass. */
TARGET static inline uint32_t places(const sw_gate *gate, const uint8_t *text)
{
    const __m256i half = _mm256_set1_epi8(0x0F);
    __m256i lower[SW_WINDOW], upper[SW_WINDOW];
    for (int i = 0; i < SW_WINDOW; i++) {
        const __m256i block = _mm256_loadu_si256((const __m256i *)(text + i));
        lower[i] = _mm256_and_si256(block, half);
        upper[i] = _mm256_and_si256(_mm256_srli_epi16(block, 4), half);
    }
    const __m256i any =
        _mm256_or_si256(passed(gate, 0, lower, upper), passed(gate, 1, lower, upper));
    return ~(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(any, _mm256_setzero_si256()));
}

/* The classes of the first `here` bytes: by halves, so those of bytes alike too. */
TARGET static inline __m256i classes(const sw_gate *gate, const uint8_t *text, size_t here)
{
    static const uint8_t ends[2 * BLOCK] = {
        [0 ... BLOCK - 1] = 0xFF,
    };
    const __m256i half = _mm256_set1_epi8(0x0F);
    const __m256i block = _mm256_loadu_si256((const __m256i *)text);
    const __m256i found = _mm256_and_si256(
        _mm256_shuffle_epi8(table(gate->class_lower), _mm256_and_si256(block, half)),
        _mm256_shuffle_epi8(table(gate->class_upper),
                            _mm256_and_si256(_mm256_srli_epi16(block, 4), half)));
    return _mm256_and_si256(
        found, _mm256_loadu_si256((const __m256i *)(ends + BLOCK - here)));
}

TARGET static uint32_t scan(const sw_gate *gate, const uint8_t *text, size_t size,
                            sw_found *found)
{
    uint8_t rest[BLOCK + SW_WINDOW];
    __m256i held = _mm256_setzero_si256();
    for (size_t at = 0; at < size; at += BLOCK) {
        const uint8_t *block = text + at;
        const size_t left = size - at;
        if (left < BLOCK + SW_WINDOW - 1) {
            memset(rest, 0, sizeof(rest));
            memcpy(rest, block, left);
            block = rest;
        }
        const size_t here = left < BLOCK ? left : BLOCK;
        held = _mm256_or_si256(held, classes(gate, block, here));
        uint32_t hits = places(gate, block);
        if (here < BLOCK)
            hits &= ((uint32_t)1 << here) - 1;
        for (; hits; hits &= hits - 1) {
            const size_t place = at + (size_t)__builtin_ctz(hits);
            const uint32_t buckets = sw_passed(gate, text, size, place);
            if (buckets)
                sw_compare(gate, text, size, place, buckets, found);
        }
    }
    uint64_t words[BLOCK / 8];
    _mm256_storeu_si256((__m256i *)words, held);
    uint64_t all = words[0] | words[1] | words[2] | words[3];
    all |= all >> 32;
    all |= all >> 16;
    all |= all >> 8;
    return (uint32_t)(all & 0xFF);
}

#else

static int supported(void)
{
    return 0;
}
#define scan 0

#endif

const sw_gate_kernel sw_gate_avx2 = {"avx2", supported, scan};
