/*
 * The literal gate: which of many literals a text holds, found in one pass; see ../gate.pxd.
 *
 * A literal is a row of up to eight byte sets.  A window of three of them is tested at every place
 * of the text against sixteen buckets at once; what passes is compared in full.
 */
#ifndef SW_GATE_H
#define SW_GATE_H

#include <stddef.h>
#include <stdint.h>

enum { SW_WINDOW = 3, SW_BUCKETS = 16, SW_LITERAL_MAX = 8, SW_ASCII = 128 };

typedef struct {
    uint64_t bits[4];
} sw_set;

typedef struct {
    uint8_t size;
    uint8_t offset; /* where its window begins */
    uint16_t sets[SW_LITERAL_MAX];
    uint32_t first_user, user_count; /* patterns that need it, in `users` */
} sw_literal;

/* The literals whose windows a byte fits, as bits: `words` of them at fits[(place * 256 + byte) *
 * words].  The windows that fit in all three places fit the text. */
typedef struct {
    const uint64_t *fits;
    uint32_t words;
    uint32_t first; /* literal */
} sw_bucket;

typedef struct {
    uint16_t passing[SW_WINDOW][256]; /* buckets that a byte passes at each place */
    uint8_t classes[256];             /* what the text is told to hold of each byte */
    sw_bucket buckets[SW_BUCKETS];
    const sw_literal *literals;       /* those of a bucket stand together */
    const sw_set *sets;
    const uint32_t *users;
    /* The same tables as vectors want them, for the buckets 0 to 7 and 8 to 15. */
    uint8_t ascii[2][SW_WINDOW][SW_ASCII];
    uint8_t above[2][SW_WINDOW]; /* of any byte of 0x80 or more */
    uint8_t ascii_classes[SW_ASCII];
    uint8_t above_classes;
} sw_gate;

/* Patterns that were found, each once: a bit set, and the same as a list. */
typedef struct {
    uint64_t *bits;
    uint32_t *list;
    uint32_t count;
} sw_found;

/* Adds to `found`; returns the classes of all bytes of the text, perhaps those of others of 0x80
 * or more. */
typedef uint32_t (*sw_gate_scan)(const sw_gate *gate, const uint8_t *text, size_t size,
                                 sw_found *found);

typedef struct {
    const char *name;
    int (*supported)(void);
    sw_gate_scan scan;
} sw_gate_kernel;

extern const sw_gate_kernel sw_gate_plain, sw_gate_vbmi;

static inline int sw_holds(const sw_gate *gate, const sw_literal *literal, const uint8_t *text)
{
    for (unsigned i = 0; i < literal->size; i++)
        if (!(gate->sets[literal->sets[i]].bits[text[i] >> 6] >> (text[i] & 63) & 1))
            return 0;
    return 1;
}

static inline void sw_compare_one(const sw_gate *gate, const sw_literal *literal,
                                  const uint8_t *text, size_t size, size_t at, sw_found *found)
{
    if (at < literal->offset || size - (at - literal->offset) < literal->size ||
        !sw_holds(gate, literal, text + at - literal->offset))
        return;
    for (uint32_t i = 0; i < literal->user_count; i++) {
        const uint32_t user = gate->users[literal->first_user + i];
        const uint64_t bit = (uint64_t)1 << (user & 63);
        if (!(found->bits[user >> 6] & bit)) {
            found->bits[user >> 6] |= bit;
            found->list[found->count++] = user;
        }
    }
}

/* Compares the literals of `buckets` whose windows begin at `at`. */
static inline void sw_compare(const sw_gate *gate, const uint8_t *text, size_t size, size_t at,
                              uint32_t buckets, sw_found *found)
{
    const size_t first = text[at];
    const size_t second = 256 + (size_t)(at + 1 < size ? text[at + 1] : 0);
    const size_t third = 512 + (size_t)(at + 2 < size ? text[at + 2] : 0);
    for (; buckets; buckets &= buckets - 1) {
        const sw_bucket *bucket = &gate->buckets[__builtin_ctz(buckets)];
        const uint32_t words = bucket->words;
        for (uint32_t word = 0; word < words; word++) {
            uint64_t fit = bucket->fits[first * words + word] &
                           bucket->fits[second * words + word] &
                           bucket->fits[third * words + word];
            for (; fit; fit &= fit - 1)
                sw_compare_one(
                    gate,
                    &gate->literals[bucket->first + 64 * word + (uint32_t)__builtin_ctzll(fit)],
                    text, size, at, found);
        }
    }
}

/* The buckets that the window at `at` passes; behind the end stand NULs. */
static inline uint32_t sw_passed(const sw_gate *gate, const uint8_t *text, size_t size, size_t at)
{
    return gate->passing[0][text[at]] &
           gate->passing[1][at + 1 < size ? text[at + 1] : 0] &
           gate->passing[2][at + 2 < size ? text[at + 2] : 0];
}

#endif
