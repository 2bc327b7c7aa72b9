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

typedef int (*sw_unmask_fn)(uint8_t *out, const uint8_t *in, size_t size, uint32_t key);
typedef int (*sw_non_ascii_fn)(const uint8_t *in, size_t size);

struct sw_masking {
    const char *name;
    int (*supported)(void);
    sw_unmask_fn unmask;
    sw_non_ascii_fn non_ascii;
};

extern const struct sw_masking sw_masking_plain, sw_masking_avx2, sw_masking_avx512;

#endif
