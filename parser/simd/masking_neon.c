/* 16 bytes at once, on any arm64; the rest goes through words of eight. */
#include "masking.h"

#if defined(__aarch64__)
#include <arm_neon.h>

static int supported(void)
{
    return 1;
}

static int unmask(uint8_t *out, const uint8_t *in, size_t size, uint32_t key)
{
    const uint8x16_t keys = vreinterpretq_u8_u32(vdupq_n_u32(key));
    uint8x16_t seen = vdupq_n_u8(0);
    for (; size >= 16; size -= 16, in += 16, out += 16) {
        const uint8x16_t block = veorq_u8(vld1q_u8(in), keys);
        vst1q_u8(out, block);
        seen = vorrq_u8(seen, block);
    }
    return sw_unmask_rest(out, in, size, key) | (vmaxvq_u8(seen) >= 0x80);
}

static int non_ascii(const uint8_t *in, size_t size)
{
    uint8x16_t seen = vdupq_n_u8(0);
    for (; size >= 16; size -= 16, in += 16)
        seen = vorrq_u8(seen, vld1q_u8(in));
    return sw_non_ascii_rest(in, size) | (vmaxvq_u8(seen) >= 0x80);
}

#else

static int supported(void)
{
    return 0;
}
#define unmask 0
#define non_ascii 0

#endif

const struct sw_masking sw_masking_neon = {"neon", supported, unmask, non_ascii};
