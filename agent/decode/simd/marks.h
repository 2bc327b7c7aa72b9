/*
 * What a text holds that a decoder could work on, found in one pass; see ../marks.pxd.
 *
 * A kernel sorts a block of 32 bytes into masks; what is done with them is written once, below.
 */
#ifndef SW_MARKS_H
#define SW_MARKS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { SW_BLOCK = 32 };

/* Marks. */
enum {
    SW_BACKSLASH = 1,
    SW_PERCENT = 2,
    SW_AMPERSAND = 4,
    SW_STAR = 8,
    SW_HIGH = 16,   /* a byte of 0x80 or above */
    SW_BINARY = 32, /* a byte below tab, or the first one is no printable ASCII */
    SW_RUN = 64,    /* what may be base64 or hexadecimal digits */
};

/* Of the table of bytes: the four lowest bits are the marks of that name. */
enum { SW_ALPHABET = 0xF0 };

typedef struct {
    uint32_t alphabet; /* bytes of base64 in both alphabets (RFC 4648); 0x7F passes too */
    uint32_t quote;    /* " */
    uint32_t equal;    /* = */
} sw_masks;

typedef uint32_t (*sw_marks_fn)(const uint8_t *text, size_t size);
/* Where the next run begins at `from` or behind, or `size`. */
typedef size_t (*sw_next_run_fn)(const uint8_t *text, size_t size, size_t from);

struct sw_marks {
    const char *name;
    int (*supported)(void);
    sw_marks_fn marks;
    sw_next_run_fn next_run;
};

extern const struct sw_marks sw_marks_plain, sw_marks_avx2;

/*
 * The class of a byte is LOWER[its low half] & UPPER[its high half].  The bits from 16 on are the
 * alphabet's: + - / by 16, digits by 32, A-O and a-o by 64, P-Z, p-z and _ by 128.
 */
#define SW_LOWER                                                                        \
    128 | 32, 224, 224, 224, 224, 226, 228, 224, 224, 224, 64 | 128 | 8, 64 | 16, 64 | 1,      \
        64 | 16, 64, 64 | 128 | 16
#define SW_UPPER 0, 0, 16 | 8 | 4 | 2, 32, 64, 128 | 1, 64, 128, 0, 0, 0, 0, 0, 0, 0, 0

/*
 * Where runs begin in the lower half of a window of 64 bytes: 16 bytes of the alphabet, or 8 or
 * 12 that fill a pair of quotes.  `before`: the byte before the window was a quote.
 */
static inline uint32_t sw_starts(uint64_t alphabet, uint64_t quote, int before)
{
    const uint64_t two = alphabet & alphabet >> 1;
    const uint64_t four = two & two >> 2;
    const uint64_t eight = four & four >> 4;
    const uint64_t opened = quote << 1 | (uint64_t)before;
    const uint64_t filled = opened & ((quote >> 8) | ((eight >> 4) & (quote >> 12)));
    return (uint32_t)(eight & ((eight >> 8) | filled));
}

/* Where a byte of the alphabet stands before padding: == or =". */
static inline uint32_t sw_padded(uint64_t alphabet, uint64_t quote, uint64_t equal)
{
    return (uint32_t)(alphabet & equal >> 1 & (equal | quote) >> 2);
}

/* The rest of the text, filled up with spaces. */
static inline const uint8_t *sw_block(const uint8_t *text, size_t size, size_t at,
                                      uint8_t *buffer)
{
    if (size - at >= SW_BLOCK)
        return text + at;
    memset(buffer, ' ', SW_BLOCK);
    memcpy(buffer, text + at, size - at);
    return buffer;
}

#define SW_WINDOW(member) ((uint64_t)here.member | (uint64_t)ahead.member << 32)

/* Defines next_run by `sort(block, masks)`. */
#define SW_DEFINE_NEXT_RUN(TARGET)                                                          \
    TARGET static size_t next_run(const uint8_t *text, size_t size, size_t from)            \
    {                                                                                       \
        uint8_t buffer[SW_BLOCK];                                                           \
        sw_masks here, ahead = {0, 0, 0};                                                   \
        size_t at = from, place;                                                            \
        uint32_t starts, padded;                                                            \
        if (from >= size)                                                                   \
            return size;                                                                    \
        sort(sw_block(text, size, at, buffer), &ahead);                                     \
        for (; at < size; at += SW_BLOCK) {                                                 \
            here = ahead;                                                                   \
            memset(&ahead, 0, sizeof(ahead));                                               \
            if (size - at > SW_BLOCK)                                                       \
                sort(sw_block(text, size, at + SW_BLOCK, buffer), &ahead);                  \
            starts = sw_starts(SW_WINDOW(alphabet), SW_WINDOW(quote),                       \
                               at && text[at - 1] == '"');                                  \
            padded = sw_padded(SW_WINDOW(alphabet), SW_WINDOW(quote), SW_WINDOW(equal));    \
            if (!(starts | padded))                                                         \
                continue;                                                                   \
            place = at + (size_t)__builtin_ctz(starts | padded);                            \
            while (place > from && sw_in_alphabet(text[place - 1]))                         \
                place--;                                                                    \
            return place;                                                                   \
        }                                                                                   \
        return size;                                                                        \
    }

static inline int sw_in_alphabet(uint8_t byte)
{
    static const uint8_t lower[16] = {SW_LOWER}, upper[16] = {SW_UPPER};
    return (lower[byte & 15] & upper[byte >> 4] & SW_ALPHABET) != 0;
}

#endif
