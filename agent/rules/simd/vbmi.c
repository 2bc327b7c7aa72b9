/* 64 places at once; a table of 128 bytes takes ASCII whole, so that little else passes. */
#include "gate.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vbmi,bmi2")))

enum { BLOCK = 64 };

typedef struct {
    __m512i first, second; /* of bytes up to 0x3F, and of those up to 0x7F */
} table;

static int supported(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("bmi2");
}

TARGET static inline table load(const uint8_t *entries)
{
    const table loaded = {_mm512_loadu_si512(entries), _mm512_loadu_si512(entries + 64)};
    return loaded;
}

TARGET static inline __m512i look_up(table from, __m512i block, uint8_t above)
{
    const __m512i found = _mm512_permutex2var_epi8(from.first, block, from.second);
    return _mm512_mask_mov_epi8(found, _mm512_movepi8_mask(block),
                                _mm512_set1_epi8((char)above));
}

/* The block at `at`; what is behind the end is 0. */
TARGET static inline __m512i block_at(const uint8_t *text, size_t size, size_t at)
{
    if (at + BLOCK <= size)
        return _mm512_loadu_si512(text + at);
    if (at >= size)
        return _mm512_setzero_si512();
    return _mm512_maskz_loadu_epi8(_bzhi_u64(~0ull, (unsigned)(size - at)), text + at);
}

TARGET static uint32_t scan(const sw_gate *gate, const uint8_t *text, size_t size,
                            sw_found *found)
{
    const table classes = load(gate->ascii_classes);
    table low[SW_WINDOW], high[SW_WINDOW];
    __m512i held = _mm512_setzero_si512();
    uint8_t passed[2][BLOCK];
    for (int i = 0; i < SW_WINDOW; i++) {
        low[i] = load(gate->ascii[0][i]);
        high[i] = load(gate->ascii[1][i]);
    }
    for (size_t at = 0; at < size; at += BLOCK) {
        const __mmask64 here = size - at < BLOCK ? _bzhi_u64(~0ull, (unsigned)(size - at)) : ~0ull;
        __m512i first = _mm512_set1_epi8(-1);
        __m512i second = first;
        for (int i = 0; i < SW_WINDOW; i++) {
            const __m512i block = block_at(text, size, at + (size_t)i);
            first = _mm512_and_si512(first, look_up(low[i], block, gate->above[0][i]));
            second = _mm512_and_si512(second, look_up(high[i], block, gate->above[1][i]));
            if (!i)
                held = _mm512_or_si512(
                    held,
                    _mm512_maskz_mov_epi8(here, look_up(classes, block, gate->above_classes)));
        }
        const __m512i any = _mm512_or_si512(first, second);
        uint64_t hits = _mm512_test_epi8_mask(any, any) & here;
        if (!hits)
            continue;
        _mm512_storeu_si512(passed[0], first);
        _mm512_storeu_si512(passed[1], second);
        for (; hits; hits &= hits - 1) {
            const unsigned place = (unsigned)__builtin_ctzll(hits);
            sw_compare(gate, text, size, at + place,
                       passed[0][place] | (uint32_t)passed[1][place] << 8, found);
        }
    }
    uint64_t all = (uint64_t)_mm512_reduce_or_epi64(held);
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

const sw_gate_kernel sw_gate_vbmi = {"avx512", supported, scan};
