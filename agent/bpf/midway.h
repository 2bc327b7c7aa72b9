/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Connections that were there before the probe: nobody saw how they began.
 *
 * The helper lists the sockets of the moment in `earlier` (agent/probe/earlier.py).  A call on one of
 * them that looks like whole frames is passed on from there, marked SW_MIDSTREAM; whether they are
 * frames the parser proves, and has the connection hidden if they are not (RFC 6455 5.2).
 */
enum { FRAME_HEAD_BYTES = 10 };

/* A header up to its longest length, which lies aligned for the verifier. */
struct frame_head {
    u8 alignment[6];
    u8 first;
    u8 second;
    u64 extended;
} __attribute__((packed, aligned(8)));

static __always_inline int is_earlier(const struct who *who, const struct moved *moved, u32 *inode)
{
    if (moved->source != SW_SOCKET && !sock_of(descriptor_of_ssl(who), inode))
        return 0;
    u8 *tries = earlier.lookup(inode);
    return tries && *tries;
}

/* The bytes of a frame that begins with these; 0: none does.  Masked: the same in all frames of a
 * direction. */
static __always_inline u64 frame_bytes(const struct frame_head *head, u64 *masked)
{
    u8 opcode = head->first & 0x0f, length = head->second & 0x7f;
    if (head->first & 0x30 || (opcode > 2 && opcode < 8) || opcode > 10)
        return 0;
    if (opcode & 8 && (!(head->first & 0x80) || head->first & 0x40 || length > 125))
        return 0;
    *masked = head->second >> 7;
    u64 size = 2 + 4 * *masked, extended = __builtin_bswap64(head->extended);
    if (length < 126)
        return size + length;
    if (length == 126)
        return extended >> 48 < 126 ? 0 : size + 2 + (extended >> 48);
    return extended < 65536 || extended >> 48 ? 0 : size + 8 + extended;
}

/* Whole frames to the end of the buffer, or a long one that goes on behind it. */
static __always_inline int are_frames(struct iovec64 buffer, u64 *masked)
{
    struct frame_head head = {};
    u64 second = 0;
    if (buffer.size < 2)
        return 0;
    if (read_user(&head.first, buffer.size < FRAME_HEAD_BYTES ? 2 : FRAME_HEAD_BYTES,
                            (void *)buffer.base))
        return 0;
    u64 size = frame_bytes(&head, masked);
    if (!size || size == buffer.size)
        return size != 0;
    if (size > buffer.size)
        return buffer.size > 1024;
    head.extended = 0x0101010101010101; /* not read: some length */
    if (read_user(&head.first, 2, (void *)(buffer.base + size)))
        return 0;
    return buffer.size - size >= 2 && frame_bytes(&head, &second) && second == *masked;
}

/* True: `key` is a WebSocket from now on. */
static __always_inline int meet_midway(const struct who *who, const struct moved *moved,
                                       struct who *key, struct connection *fresh)
{
    struct iovec64 first = nth_buffer(moved, 0);
    u64 masked = 0;
    u8 *tries = earlier.lookup(&fresh->inode);
    if (!tries)
        return 0;
    if (!are_frames(first, &masked)) {
        *tries -= 1;
        return 0;
    }
    fresh->state = OPEN;
    fresh->midway = 1;
    fresh->generation = 1;
    fresh->number = new_number();
    /* A client masks, a server does not (RFC 6455 5.1). */
    fresh->requester = (moved->flow == SW_READ) == masked ? SW_READ : SW_WRITE;
    if (moved->source != SW_SOCKET) {
        fresh->fd = descriptor_of_ssl(who);
        fresh->sock = sock_of(fresh->fd, &fresh->inode);
    } else {
        known.update((struct who *)who, &fresh->sock);
    }
    if (connections.update(key, fresh)) {
        count(SW_COUNT_map_full, 1);
        return 0;
    }
    adopt(fresh, who->process);
    emit_open(key, fresh);
    return 1;
}
