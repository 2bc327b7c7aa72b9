/* See utf8.h.  SSE2, which every x86-64 has, has no look-ups: the ranges of RFC 3629 section 4 are
 * compared.  For so many comparisons 16 registers are too few to unmask in the same pass. */
#include "utf8.h"

#if defined(__x86_64__)
#include <emmintrin.h>
#include <string.h>

#define TARGET

typedef __m128i block;
enum { BLOCK = 16 };

static int supported(void)
{
    return 1;
}

static inline block zeros(void)
{
    return _mm_setzero_si128();
}

static inline block load(const uint8_t *data)
{
    return _mm_loadu_si128((const __m128i *)data);
}

static inline block load_part(const uint8_t *data, size_t size)
{
    uint8_t part[BLOCK] = {0};
    memcpy(part, data, size);
    return load(part);
}

static inline void store(uint8_t *out, block octets)
{
    _mm_storeu_si128((__m128i *)out, octets);
}

static inline block repeated(uint32_t key)
{
    return _mm_set1_epi32((int)key);
}

static inline block both(block a, block b)
{
    return _mm_or_si128(a, b);
}

static inline block different(block a, block b)
{
    return _mm_xor_si128(a, b);
}

static inline int is_ascii(block octets)
{
    return _mm_movemask_epi8(octets) == 0;
}

static inline int is_zero(block octets)
{
    return _mm_movemask_epi8(_mm_cmpeq_epi8(octets, zeros())) == 0xffff;
}

static inline block is(block octets, uint8_t value)
{
    return _mm_cmpeq_epi8(octets, _mm_set1_epi8((char)value));
}

/* At least `value`, of octets as unsigned ones. */
static inline block from(block octets, uint8_t value)
{
    return _mm_cmpeq_epi8(_mm_max_epu8(octets, _mm_set1_epi8((char)value)), octets);
}

static inline block until(block octets, uint8_t value)
{
    return _mm_cmpeq_epi8(_mm_min_epu8(octets, _mm_set1_epi8((char)value)), octets);
}

static inline block errors_in(block here, block back_1, block back_2, block back_3)
{
    const block continuation = _mm_cmplt_epi8(here, _mm_set1_epi8((char)0xC0));
    const block due = both(from(back_1, 0xC0), both(from(back_2, 0xE0), from(back_3, 0xF0)));
    const block never = both(from(here, 0xF5), both(is(here, 0xC0), is(here, 0xC1)));
    const block too_low = both(_mm_and_si128(is(back_1, 0xE0), until(here, 0x9F)),
                               _mm_and_si128(is(back_1, 0xF0), until(here, 0x8F)));
    const block too_high = both(_mm_and_si128(is(back_1, 0xED), from(here, 0xA0)),
                                _mm_and_si128(is(back_1, 0xF4), from(here, 0x90)));
    return both(both(different(continuation, due), never), both(too_low, too_high));
}

static inline block errors_of(block here, block before)
{
    return errors_in(here, both(_mm_slli_si128(here, 1), _mm_srli_si128(before, 15)),
                     both(_mm_slli_si128(here, 2), _mm_srli_si128(before, 14)),
                     both(_mm_slli_si128(here, 3), _mm_srli_si128(before, 13)));
}

#include "utf8_blocks.h"

#else

static int supported(void)
{
    return 0;
}
#define prefix 0

#endif

const struct sw_utf8 sw_utf8_sse2 = {"sse2", supported, prefix, 0};
