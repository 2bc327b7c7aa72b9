/* The kernels of utf8.h in terms of one vector, for a variant that includes this behind
 *
 *   BLOCK, block           its size in octets, its type
 *   TARGET                 the functions' attribute
 *   zeros, load            a block
 *   load_part, first_of    the first `size` octets of one, from memory or as it is, then zeros
 *   store                  one
 *   repeated               the key again and again
 *   both, different        bitwise or, exclusive or
 *   is_ascii, is_zero      of all octets
 *   errors_of              nonzero octets where a block is wrong, by the block before it
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

TARGET static inline size_t unmask_prefix(uint8_t *out, const uint8_t *in, size_t size, uint32_t key)
{
    const block keys = repeated(key);
    block before = zeros(), errors = zeros();
    size_t at = 0;
    for (; at + 4 * BLOCK <= size; at += 4 * BLOCK) {
        const block a = unmasked(out + at, in + at, keys);
        const block b = unmasked(out + at + BLOCK, in + at + BLOCK, keys);
        const block c = unmasked(out + at + 2 * BLOCK, in + at + 2 * BLOCK, keys);
        const block d = unmasked(out + at + 3 * BLOCK, in + at + 3 * BLOCK, keys);
        /* `before` too: it may end within a character. */
        if (!is_ascii(both(both(both(a, b), both(c, d)), before))) {
            errors = both(errors, both(errors_of(a, before), errors_of(b, a)));
            errors = both(errors, both(errors_of(c, b), errors_of(d, c)));
        }
        before = d;
    }
    /* The rest is mostly ASCII, even of text that is not. */
    const size_t begun = at;
    block seen = before;
    for (; at + BLOCK <= size; at += BLOCK)
        seen = both(seen, unmasked(out + at, in + at, keys));
    /* Zeros behind the end: an unfinished character is an error. */
    const size_t left = size - at;
    const block rest = first_of(different(load_part(in + at, left), keys), left);
    store(out + at, rest);
    if (!is_ascii(both(seen, rest))) {
        for (at = begun; at + BLOCK <= size; at += BLOCK) {
            const block here = load(out + at);
            errors = both(errors, errors_of(here, before));
            before = here;
        }
        errors = both(errors, errors_of(rest, before));
    }
    return is_zero(errors) ? size : prefix(out, size);
}
