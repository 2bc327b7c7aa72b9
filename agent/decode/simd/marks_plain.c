/* See marks.h. */
#include "marks.h"

static int supported(void)
{
    return 1;
}

static inline uint8_t class_of(uint8_t byte)
{
    static const uint8_t lower[16] = {SW_LOWER}, upper[16] = {SW_UPPER};
    return lower[byte & 15] & upper[byte >> 4];
}

static inline void sort(const uint8_t *text, sw_masks *masks)
{
    uint32_t i;
    memset(masks, 0, sizeof(*masks));
    for (i = 0; i < SW_BLOCK; i++) {
        masks->alphabet |= (uint32_t)((class_of(text[i]) & SW_ALPHABET) != 0) << i;
        masks->quote |= (uint32_t)(text[i] == '"') << i;
        masks->equal |= (uint32_t)(text[i] == '=') << i;
    }
}

SW_DEFINE_NEXT_RUN()

static uint32_t marks(const uint8_t *text, size_t size)
{
    uint32_t marked = 0;
    size_t i;
    if (!size)
        return 0;
    for (i = 0; i < size; i++) {
        marked |= class_of(text[i]) & (SW_BACKSLASH | SW_PERCENT | SW_AMPERSAND | SW_STAR);
        if (text[i] >= 0x80)
            marked |= SW_HIGH;
        if (text[i] < 9)
            marked |= SW_BINARY;
    }
    if (text[0] < 0x20 || text[0] > 0x7E)
        marked |= SW_BINARY;
    return next_run(text, size, 0) < size ? marked | SW_RUN : marked;
}

const struct sw_marks sw_marks_plain = {"plain", supported, marks, next_run};
