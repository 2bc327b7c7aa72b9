/* Words of eight bytes; compilers make vectors of the baseline (SSE2, NEON) from it. */
#include "masking.h"

#include <string.h>

#define HIGH_BITS 0x8080808080808080u

static int supported(void)
{
    return 1;
}

static int unmask(uint8_t *out, const uint8_t *in, size_t size, uint32_t key)
{
    const uint64_t keys = (uint64_t)key << 32 | key;
    uint64_t seen = 0;
    size_t at = 0;
    for (; at + 8 <= size; at += 8) {
        uint64_t word;
        memcpy(&word, in + at, 8);
        word ^= keys;
        memcpy(out + at, &word, 8);
        seen |= word;
    }
    for (; at < size; at++) {
        out[at] = (uint8_t)(in[at] ^ key >> 8 * (at & 3));
        seen |= out[at];
    }
    return (seen & HIGH_BITS) != 0;
}

static int non_ascii(const uint8_t *in, size_t size)
{
    uint64_t seen = 0;
    size_t at = 0;
    for (; at + 8 <= size; at += 8) {
        uint64_t word;
        memcpy(&word, in + at, 8);
        seen |= word;
    }
    for (; at < size; at++)
        seen |= in[at];
    return (seen & HIGH_BITS) != 0;
}

const struct sw_masking sw_masking_plain = {"plain", supported, unmask, non_ascii};
