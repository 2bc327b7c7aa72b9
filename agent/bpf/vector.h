/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * The buffers of a call: one buffer, or a vector of struct iovec.
 */
struct iovec64 {
    u64 base;
    u64 size;
};

/* A call that has moved bytes, as its hook saw it. */
struct moved {
    u64 buffer;
    u64 size;    /* bytes that the call has moved */
    u64 vector;  /* 0: `buffer` is all */
    u32 entries;
    s32 fd;      /* -1: an SSL object */
    u8 flow;
    u8 source;
};

/* The n-th buffer of a call, and how much of it the call has moved at most. */
static __always_inline struct iovec64 nth_buffer(const struct moved *moved, u32 n)
{
    struct iovec64 entry = {};
    if (!moved->vector) {
        entry.base = moved->buffer;
        entry.size = moved->size;
    } else if (n < moved->entries) {
        u64 place = moved->vector + n * sizeof entry;
        bpf_probe_read_user(&entry, sizeof entry, (void *)place);
        if (entry.size > moved->size)
            entry.size = moved->size;
    }
    return entry;
}

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
