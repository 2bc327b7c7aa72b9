/* 16 bytes at once, on any x86-64; the rest goes through words of eight. */
#include "masking.h"

#if defined(__x86_64__)
#include <emmintrin.h>

static int supported(void)
{
    return 1;
}

static int unmask(uint8_t *out, const uint8_t *in, size_t size, uint32_t key)
{
    const __m128i keys = _mm_set1_epi32((int)key);
    __m128i seen = _mm_setzero_si128();
    for (; size >= 16; size -= 16, in += 16, out += 16) {
        const __m128i block = _mm_xor_si128(_mm_loadu_si128((const __m128i *)in), keys);
        _mm_storeu_si128((__m128i *)out, block);
        seen = _mm_or_si128(seen, block);
    }
    return sw_unmask_rest(out, in, size, key) | _mm_movemask_epi8(seen);
}

static int non_ascii(const uint8_t *in, size_t size)
{
    __m128i seen = _mm_setzero_si128();
    for (; size >= 16; size -= 16, in += 16)
        seen = _mm_or_si128(seen, _mm_loadu_si128((const __m128i *)in));
    return sw_non_ascii_rest(in, size) | _mm_movemask_epi8(seen);
}

#else

static int supported(void)
{
    return 0;
}
#define unmask 0
#define non_ascii 0

#endif

const struct sw_masking sw_masking_sse2 = {"sse2", supported, unmask, non_ascii};
