/* UTF-8 in blocks of one vector (J. Keiser, D. Lemire, "Validating UTF-8 in less than one
 * instruction per byte", 2021): what each pair of neighbours may be wrong in is the
 * intersection of three sets, found by the halves of the first octet and the upper half
 * of the second; a third and fourth octet must be continuations and nothing else may be.
 *
 * Blocks of ASCII get no short cut: a branch that text makes unpredictable costs more than
 * the look-ups.  Short text that is ASCII does not come here, and `unmask_prefix` looks nothing up
 * before the first part that is not.
 *
 * prefix: how many octets, from a boundary of characters on, are whole and valid
 * characters.  It may stop up to a block early, before something that is not: the scalar
 * code (utf8.pyx) goes on from there and tells the octet.
 * unmask_prefix: unmasks all (see masking.h), and tells the same of the outcome, in one pass
 * while the bytes come from memory; of SW_UTF8_LONG_BYTES at least.  `mixed`: a part of the text was
 * seen that is not ASCII; then none is expected to be, and no time is spent on finding out.
 */
#ifndef SOCKWARDEN_UTF8_H
#define SOCKWARDEN_UTF8_H

#include <stddef.h>
#include <stdint.h>

enum { SW_UTF8_LONG_BYTES = 144 }; /* two blocks, and what stands before them */

typedef size_t (*sw_utf8_fn)(const uint8_t *data, size_t size);
typedef size_t (*sw_unmask_utf8_fn)(uint8_t *out, const uint8_t *in, size_t size, uint32_t key,
                                    uint8_t *mixed);

struct sw_utf8 {
    const char *name;
    int (*supported)(void);
    sw_utf8_fn prefix;
    sw_unmask_utf8_fn unmask_prefix; /* or 0: two passes are as fast */
};

extern const struct sw_utf8 sw_utf8_sse2, sw_utf8_avx2, sw_utf8_avx512, sw_utf8_neon;

enum {
    SW_SHORT = 1,      /* a lead and no continuation */
    SW_LONG = 2,       /* a continuation behind ASCII */
    SW_OVER_3 = 4,     /* E0 80..9F */
    SW_LARGE = 8,      /* F4 90.., F5.. 90.. */
    SW_SURROGATE = 16, /* ED A0.. */
    SW_OVER_2 = 32,    /* C0, C1 */
    SW_OVER_4 = 64,    /* F0 80..8F, and F5.. 80..8F */
    SW_TWO = 128,      /* two continuations: right as third and fourth octets */
    SW_ANY = SW_SHORT | SW_LONG | SW_TWO,
};

#define SW_REPEAT_4(x) x, x, x, x

/* By the upper half of the first octet */
#define SW_FIRST_UPPER                                                                    \
    SW_REPEAT_4(SW_LONG), SW_REPEAT_4(SW_LONG), SW_REPEAT_4(SW_TWO), SW_SHORT | SW_OVER_2, \
        SW_SHORT, SW_SHORT | SW_OVER_3 | SW_SURROGATE, SW_SHORT | SW_LARGE | SW_OVER_4

/* By its lower half */
#define SW_BEYOND SW_ANY | SW_LARGE | SW_OVER_4
#define SW_FIRST_LOWER                                                                       \
    SW_ANY | SW_OVER_2 | SW_OVER_3 | SW_OVER_4, SW_ANY | SW_OVER_2, SW_ANY, SW_ANY,          \
        SW_ANY | SW_LARGE, SW_BEYOND, SW_BEYOND, SW_BEYOND, SW_REPEAT_4(SW_BEYOND), SW_BEYOND, \
        SW_BEYOND | SW_SURROGATE, SW_BEYOND, SW_BEYOND

/* By the upper half of the second octet */
#define SW_CONTINUATION SW_LONG | SW_TWO | SW_OVER_2
#define SW_SECOND_UPPER                                                               \
    SW_REPEAT_4(SW_SHORT), SW_REPEAT_4(SW_SHORT),                                     \
        SW_CONTINUATION | SW_OVER_3 | SW_OVER_4, SW_CONTINUATION | SW_OVER_3 | SW_LARGE, \
        SW_CONTINUATION | SW_SURROGATE | SW_LARGE, SW_CONTINUATION | SW_SURROGATE | SW_LARGE, \
        SW_REPEAT_4(SW_SHORT)

/* The key for what follows the first `by` octets. */
static inline uint32_t sw_rotate(uint32_t key, size_t by)
{
    const unsigned bits = (unsigned)(by & 3) * 8;
    return key >> bits | key << (-bits & 31);
}

/* The boundary of characters at or before `at`, if what stands before it is valid. */
static inline size_t sw_utf8_boundary(const uint8_t *data, size_t at)
{
    if (at >= 1 && data[at - 1] >= 0xC0)
        return at - 1;
    if (at >= 2 && data[at - 2] >= 0xE0)
        return at - 2;
    if (at >= 3 && data[at - 3] >= 0xF0)
        return at - 3;
    return at;
}

#endif
