/* A byte at a time. */
#include "gate.h"

static int supported(void)
{
    return 1;
}

static uint32_t scan(const sw_gate *gate, const uint8_t *text, size_t size, sw_found *found)
{
    uint32_t classes = 0;
    for (size_t at = 0; at < size; at++) {
        const uint32_t buckets = sw_passed(gate, text, size, at);
        classes |= gate->classes[text[at]];
        if (buckets)
            sw_compare(gate, text, size, at, buckets, found);
    }
    return classes;
}

const sw_gate_kernel sw_gate_plain = {"plain", supported, scan};
