/* See marks.h. */
#include "marks.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx2")))

static int supported(void)
{
    return __builtin_cpu_supports("avx2");
}

TARGET static inline __m256i table_of(const uint8_t *table)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)table));
}

TARGET static inline __m256i classes(__m256i block)
{
    static const uint8_t lower[16] = {SW_LOWER}, upper[16] = {SW_UPPER};
    const __m256i half = _mm256_set1_epi8(0x0F);
    /* A shuffle gives 0 for a byte of 0x80 or above: as the table of upper halves does. */
    return _mm256_and_si256(
        _mm256_shuffle_epi8(table_of(lower), _mm256_and_si256(block, half)),
        _mm256_shuffle_epi8(table_of(upper),
                            _mm256_and_si256(_mm256_srli_epi16(block, 4), half)));
}

TARGET static inline uint32_t where(__m256i block, char byte)
{
    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(block, _mm256_set1_epi8(byte)));
}

TARGET static inline __m256i sort_loaded(__m256i block, sw_masks *masks)
{
    const __m256i found = classes(block);
    const __m256i none = _mm256_cmpeq_epi8(
        _mm256_and_si256(found, _mm256_set1_epi8((char)SW_ALPHABET)), _mm256_setzero_si256());
    masks->alphabet = ~(uint32_t)_mm256_movemask_epi8(none);
    masks->quote = where(block, '"');
    masks->equal = where(block, '=');
    return found;
}

TARGET static inline void sort(const uint8_t *text, sw_masks *masks)
{
    sort_loaded(_mm256_loadu_si256((const __m256i *)text), masks);
}

SW_DEFINE_NEXT_RUN(TARGET)

TARGET static uint32_t marks(const uint8_t *text, size_t size)
{
    uint8_t buffer[SW_BLOCK], bytes[SW_BLOCK];
    __m256i all = _mm256_setzero_si256(), seen = _mm256_setzero_si256(), block;
    __m256i least = _mm256_set1_epi8((char)0xFF);
    sw_masks here = {0, 0, 0}, ahead;
    uint32_t runs = 0, marked = 0, i;
    uint64_t before = 0;
    size_t at;
    if (!size)
        return 0;
    /* One round more, of nothing: a window is looked at when the block behind it is there. */
    for (at = 0; at < size + SW_BLOCK; at += SW_BLOCK) {
        if (at < size) {
            block = _mm256_loadu_si256((const __m256i *)sw_block(text, size, at, buffer));
            seen = _mm256_or_si256(seen, sort_loaded(block, &ahead));
            all = _mm256_or_si256(all, block);
            least = _mm256_min_epu8(least, block);
        } else {
            memset(&ahead, 0, sizeof(ahead));
        }
        runs |= sw_starts(SW_WINDOW(alphabet), SW_WINDOW(quote), (int)before);
        runs |= sw_padded(SW_WINDOW(alphabet), SW_WINDOW(quote), SW_WINDOW(equal));
        before = here.quote >> 31;
        here = ahead;
    }
    _mm256_storeu_si256((__m256i *)bytes, seen);
    for (i = 0; i < SW_BLOCK; i++)
        marked |= bytes[i];
    marked &= SW_BACKSLASH | SW_PERCENT | SW_AMPERSAND | SW_STAR;
    if (_mm256_movemask_epi8(all))
        marked |= SW_HIGH;
    if (_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_min_epu8(least, _mm256_set1_epi8(8)), least))
        || text[0] < 0x20 || text[0] > 0x7E)
        marked |= SW_BINARY;
    return runs ? marked | SW_RUN : marked;
}

const struct sw_marks sw_marks_avx2 = {"avx2", supported, marks, next_run};

#else

static int supported(void)
{
    return 0;
}

const struct sw_marks sw_marks_avx2 = {"avx2", supported, 0, 0};

#endif
