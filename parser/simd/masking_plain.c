/* Words of eight bytes. */
#include "masking.h"

static int supported(void)
{
    return 1;
}

static int unmask(uint8_t *out, const uint8_t *in, size_t size, uint32_t key)
{
    return sw_unmask_rest(out, in, size, key);
}

static int non_ascii(const uint8_t *in, size_t size)
{
    return sw_non_ascii_rest(in, size);
}

const struct sw_masking sw_masking_plain = {"plain", supported, unmask, non_ascii};
