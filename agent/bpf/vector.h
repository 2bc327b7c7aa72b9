/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Walks the buffers of a call: one buffer, or a vector of struct iovec.
 */
struct iovec64 {
    u64 base;
    u64 size;
};

/* Makes the next entry the buffer at hand.  False: there is none, or it cannot be read. */
static __always_inline int next_buffer(struct call *call)
{
    struct iovec64 entry = {};
    if (!call->entries)
        return 0;
    if (bpf_probe_read_user(&entry, sizeof entry, (void *)call->vector))
        return 0;
    call->vector += sizeof entry;
    call->entries -= 1;
    call->buffer = entry.base;
    call->left = entry.size;
    return 1;
}

/* Moves past `size` bytes of the buffer at hand. */
static __always_inline void advance(struct call *call, u64 size)
{
    call->buffer += size;
    call->left -= size;
    call->total -= size;
    call->position += size;
}
