/* See utf8.h.  Every arm64 has it. */
#include "utf8.h"

#if defined(__aarch64__)
#include <arm_neon.h>
#include <string.h>

#define TARGET

typedef uint8x16_t block;
enum { BLOCK = 16 };

static int supported(void)
{
    return 1;
}

static inline block zeros(void)
{
    return vdupq_n_u8(0);
}

static inline block load(const uint8_t *data)
{
    return vld1q_u8(data);
}

static inline block load_part(const uint8_t *data, size_t size)
{
    uint8_t part[BLOCK] = {0};
    memcpy(part, data, size);
    return load(part);
}

static inline void store(uint8_t *out, block octets)
{
    vst1q_u8(out, octets);
}

static inline block repeated(uint32_t key)
{
    return vreinterpretq_u8_u32(vdupq_n_u32(key));
}

static inline block both(block a, block b)
{
    return vorrq_u8(a, b);
}

static inline block different(block a, block b)
{
    return veorq_u8(a, b);
}

static inline int is_ascii(block octets)
{
    return vmaxvq_u8(octets) < 0x80;
}

static inline int is_zero(block octets)
{
    return vmaxvq_u8(octets) == 0;
}

static inline block errors_in(block here, block back_1, block back_2, block back_3)
{
    static const uint8_t first_upper[16] = {SW_FIRST_UPPER};
    static const uint8_t first_lower[16] = {SW_FIRST_LOWER};
    static const uint8_t second_upper[16] = {SW_SECOND_UPPER};
    const block lower = vandq_u8(back_1, vdupq_n_u8(0x0f));
    const block pairs = vandq_u8(vandq_u8(vqtbl1q_u8(load(first_upper), vshrq_n_u8(back_1, 4)),
                                          vqtbl1q_u8(load(first_lower), lower)),
                                 vqtbl1q_u8(load(second_upper), vshrq_n_u8(here, 4)));
    const block third_or_fourth = vorrq_u8(vqsubq_u8(back_2, vdupq_n_u8(0xE0 - 0x80)),
                                           vqsubq_u8(back_3, vdupq_n_u8(0xF0 - 0x80)));
    return veorq_u8(vandq_u8(third_or_fourth, vdupq_n_u8(0x80)), pairs);
}

static inline block errors_of(block here, block before)
{
    return errors_in(here, vextq_u8(before, here, 15),
                     vextq_u8(before, here, 14),
                     vextq_u8(before, here, 13));
}

#include "utf8_blocks.h"

#else

static int supported(void)
{
    return 0;
}
#define prefix 0
#define unmask_prefix 0

#endif

const struct sw_utf8 sw_utf8_neon = {"neon", supported, prefix, unmask_prefix};
