/* The two kernels that touch every payload byte, in one variant an instruction set.
 *
 * unmask:    RFC 6455 section 5.3; `key` as it lies in memory.  Writes up to 64 bytes
 *            behind out + size.  Nonzero if any of the size bytes is not ASCII.
 * non_ascii: nonzero if any of the bytes is not ASCII.
 */
#ifndef SOCKWARDEN_MASKING_H
#define SOCKWARDEN_MASKING_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef int (*sw_unmask_fn)(uint8_t *out, const uint8_t *in, size_t size, uint32_t key);
typedef int (*sw_non_ascii_fn)(const uint8_t *in, size_t size);

struct sw_masking {
    const char *name;
    int (*supported)(void);
    sw_unmask_fn unmask;
    sw_non_ascii_fn non_ascii;
};

extern const struct sw_masking sw_masking_plain, sw_masking_sse2, sw_masking_avx2,
    sw_masking_avx512, sw_masking_neon;

/* What is left for vectors that cannot be loaded in part, by words; `size` is counted from where
 * the key begins.  Nonzero if any of it is not ASCII. */
static inline int sw_unmask_rest(uint8_t *out, const uint8_t *in, size_t size, uint32_t key)
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
    return (seen & 0x8080808080808080u) != 0;
}

static inline int sw_non_ascii_rest(const uint8_t *in, size_t size)
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
    return (seen & 0x8080808080808080u) != 0;
}

#endif
