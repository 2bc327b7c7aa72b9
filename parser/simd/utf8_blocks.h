/* The kernels of utf8.h in terms of one vector, for a variant that includes this behind
 *
 *   BLOCK, block           its size in octets, its type
 *   TARGET                 the functions' attribute
 *   zeros, load, store     a block
 *   load_part              its first `size` octets, then zeros
 *   repeated               the key again and again
 *   both, different        bitwise or, exclusive or
 *   is_ascii, is_zero      of all octets
 *   errors_in              nonzero octets where a block is wrong, by the blocks that begin
 *                          1 to 3 octets before it
 *   errors_of              the same, by the block before it
 */

TARGET static size_t prefix(const uint8_t *data, size_t size)
{
    block before = zeros();
    size_t at = 0;
    for (; at + BLOCK <= size; at += BLOCK) {
        const block here = load(data + at);
        if (!is_zero(errors_of(here, before)))
            return sw_utf8_boundary(data, at);
        before = here;
    }
    if (!is_zero(errors_of(load_part(data + at, size - at), before)))
        return sw_utf8_boundary(data, at);
    return size;
}

TARGET static inline block unmasked(uint8_t *out, const uint8_t *in, block keys)
{
    const block here = different(load(in), keys);
    store(out, here);
    return here;
}

/* The errors in a block behind others: what stands before each octet is loaded once more, as the
 * processor has loads to spare where shuffles are what it waits for. */
TARGET static inline block unmask_next(uint8_t *out, const uint8_t *in, uint32_t key)
{
    const block here = unmasked(out, in, repeated(key));
    return errors_in(here, different(load(in - 1), repeated(sw_rotate(key, 3))),
                     different(load(in - 2), repeated(sw_rotate(key, 2))),
                     different(load(in - 3), repeated(sw_rotate(key, 1))));
}

TARGET static inline block unmask_pair(uint8_t *out, const uint8_t *in, uint32_t key)
{
    return both(unmask_next(out, in, key), unmask_next(out + BLOCK, in + BLOCK, key));
}

TARGET static inline size_t unmask_ascii(uint8_t *out, const uint8_t *in, size_t size, block keys)
{
    size_t at = 0;
    for (; at + 4 * BLOCK <= size; at += 4 * BLOCK) {
        const block a = unmasked(out + at, in + at, keys);
        const block b = unmasked(out + at + BLOCK, in + at + BLOCK, keys);
        const block c = unmasked(out + at + 2 * BLOCK, in + at + 2 * BLOCK, keys);
        const block d = unmasked(out + at + 3 * BLOCK, in + at + 3 * BLOCK, keys);
        if (!is_ascii(both(both(a, b), both(c, d))))
            break;
    }
    return at;
}

TARGET static inline size_t unmask_prefix(uint8_t *out, const uint8_t *in, size_t size,
                                          uint32_t key, uint8_t *mixed)
{
    block errors = zeros();
    size_t at = 0;
    if (!*mixed) {
        at = unmask_ascii(out, in, size, repeated(key));
        *mixed = at + 4 * BLOCK <= size;
    }
    if (!at) {
        errors = errors_of(unmasked(out, in, repeated(key)), zeros());
        at = BLOCK;
    }
    for (; at + 2 * BLOCK <= size; at += 2 * BLOCK)
        errors = both(errors, unmask_pair(out + at, in + at, key));
    if (at < size) {
        /* The last pair: some of it for the second time, so that none is a part of a block. */
        at = size - 2 * BLOCK;
        errors = both(errors, unmask_pair(out + at, in + at, sw_rotate(key, at)));
    }
    return is_zero(errors) ? sw_utf8_boundary(out, size) : prefix(out, size);
}
