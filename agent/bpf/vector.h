/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * The buffers of a call: one buffer, or a vector of struct iovec, or several messages with a vector
 * each (sendmmsg, recvmmsg).
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
    u64 message;  /* bytes that the vector holds: of a message, or all */
    u64 messages; /* struct mmsghdr of the messages behind it */
    u32 entries;
    u32 more;     /* messages there */
    s32 fd;      /* -1: an SSL object */
    u8 flow;
    u8 source;
};

/* The n-th buffer of a call, and how much of it the call has moved at most. */
static __always_inline struct iovec64 nth_buffer(const struct moved *moved, u32 n)
{
    struct iovec64 entry = {};
    if (!moved->vector) {
        if (n)
            return entry;
        entry.base = moved->buffer;
        entry.size = moved->size;
    } else if (n < moved->entries) {
        u64 place = moved->vector + n * sizeof entry;
        read_user(&entry, sizeof entry, (void *)place);
        if (entry.size > moved->message)
            entry.size = moved->message;
    }
    return entry;
}

/* sendmmsg(2): what counts of a struct msghdr, and the bytes that were moved. */
struct mmsghdr64 {
    u64 name[2];
    u64 vector;
    u64 entries;
    u64 control[2];
    u64 flags;
    u32 moved;
    u32 padding;
};

/* Goes on to the next message, whose first entry is the next buffer. */
static __always_inline int next_message(struct call *call)
{
    struct mmsghdr64 header = {};
    if (read_user(&header, sizeof header, (void *)call->messages))
        return 0;
    call->messages += sizeof header;
    call->more -= 1;
    call->vector = header.vector;
    call->entries = header.entries;
    call->message = header.moved;
    return 1;
}

/* Makes the next entry the buffer at hand; it may be empty.  False: there is none, or it cannot be
 * read. */
static __always_inline int next_buffer(struct call *call)
{
    struct iovec64 entry = {};
    if (!call->message && call->more)
        return next_message(call);
    if (!call->entries)
        return 0;
    if (read_user(&entry, sizeof entry, (void *)call->vector))
        return 0;
    call->vector += sizeof entry;
    call->entries -= 1;
    call->buffer = entry.base;
    call->left = entry.size < call->message ? entry.size : call->message;
    call->message -= call->left;
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
