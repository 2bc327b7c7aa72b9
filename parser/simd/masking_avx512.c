/* 64 bytes at once; the rest is loaded under a mask and stored whole, into the slack:
 * a store under a mask is several times slower. */
#include "masking.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512bw,bmi2")))

static int supported(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("bmi2");
}

TARGET static int unmask(uint8_t *out, const uint8_t *in, size_t size, uint32_t key)
{
    const __m512i keys = _mm512_set1_epi32((int)key);
    __m512i seen = _mm512_setzero_si512();
    for (; size >= 64; size -= 64, in += 64, out += 64) {
        __m512i block = _mm512_xor_si512(_mm512_loadu_si512(in), keys);
        _mm512_storeu_si512(out, block);
        seen = _mm512_or_si512(seen, block);
    }
    if (size) {
        const __mmask64 here = _bzhi_u64(~0ull, (unsigned)size);
        __m512i block = _mm512_xor_si512(_mm512_maskz_loadu_epi8(here, in), keys);
        _mm512_storeu_si512(out, block);
        seen = _mm512_or_si512(seen, _mm512_maskz_mov_epi8(here, block));
    }
    return _mm512_movepi8_mask(seen) != 0;
}

TARGET static int non_ascii(const uint8_t *in, size_t size)
{
    __m512i seen = _mm512_setzero_si512();
    for (; size >= 64; size -= 64, in += 64)
        seen = _mm512_or_si512(seen, _mm512_loadu_si512(in));
    if (size)
        seen = _mm512_or_si512(
            seen, _mm512_maskz_loadu_epi8(_bzhi_u64(~0ull, (unsigned)size), in));
    return _mm512_movepi8_mask(seen) != 0;
}

#else

static int supported(void)
{
    return 0;
}
#define unmask 0
#define non_ascii 0

#endif

const struct sw_masking sw_masking_avx512 = {"avx512", supported, unmask, non_ascii};
