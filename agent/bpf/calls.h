/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Every call that has moved bytes comes by here, whatever its kind.  The order of the tests is
 * the order of what is frequent: a descriptor that is none of our business costs one look-up.
 */

/* The connection of a call, and its `key`; 0: none is known. */
static __always_inline struct connection *connection_of(const struct moved *moved, u64 sock,
                                                        struct who *key)
{
    if (moved->source != SW_SOCKET)
        return connection_at(key);
    if (!sock)
        return 0;
    key->process = 0;
    key->handle = sock;
    struct connection *connection = connection_at(key);
    /* A descriptor may have been closed unseen, and used again (io_uring). */
    if (connection && connection->number && sock_of_file(file_of(moved->fd)) != sock)
        return 0;
    return connection;
}

static __always_inline u32 share(const struct who *key, const struct who *user,
                                 const struct moved *moved, u64 position, u64 limit, u32 jump)
{
    u64 thread = bpf_get_current_pid_tgid();
    struct call *call = calls.lookup(&thread);
    if (!call) {
        struct call fresh = {};
        calls.update(&thread, &fresh);
        call = calls.lookup(&thread);
        if (!call)
            return STAY;
    }
    call->who = *key;
    call->user = *user;
    call->buffer = moved->buffer;
    call->left = moved->vector ? 0 : moved->size;
    call->total = moved->size;
    call->limit = limit;
    call->position = position;
    call->vector = moved->vector;
    call->message = moved->message;
    call->messages = moved->messages;
    call->entries = moved->entries;
    call->more = moved->more;
    call->searched = 0;
    call->flow = moved->flow;
    call->source = moved->source;
    call->decoys = 0;
    call->keeps = 0;
    return jump;
}

/* As long as it is no WebSocket: who goes on with the call, and in `size` how much of it is passed
 * on at once. */
static __always_inline u32 see_http(const struct who *key, const struct who *who,
                                    struct connection *connection, const struct moved *moved,
                                    u64 position, int shared, u64 *size)
{
    u8 state = connection->state;
    u32 flow = moved->flow & 1; /* the mask is for the verifier */
    u32 jump = STAY;
    if (state == ASKED) {
        if (flow != connection->requester)
            see_response(connection, moved, shared);
        return STAY;
    }
    if (state == LEARNING) /* nothing is answered before four bytes: the first were no request's */
        connection->requester = flow;
    if (flow == connection->requester) {
        /* A kept-alive connection may ask again. */
        if (!connection->overflowed || connection->last_flow != flow)
            jump = share(key, who, moved, position, 0, JUMP_GATE);
    } else if (!is_switching(nth_buffer(moved, 0))) {
        connection->last_flow = flow;
    } else if (state == REFUSED && connection->last_flow == flow) {
        connection->state = OPEN; /* asked for by a request behind the refused one */
        return STAY;
    } else {
        *size = 0;
        return share(key, who, moved, position, 0, JUMP_GATE);
    }
    if (state != REFUSED || shared)
        *size = 0;
    if (*size > connection->passing[flow])
        *size = connection->passing[flow];
    connection->passing[flow] -= *size;
    return jump;
}

enum { HEADER_BYTES = 64, PAYLOAD_BYTES = 4096 };

/* A vector of a frame's header and its payload, or of one buffer, passed on in one record.  False:
 * it is something else, or cannot be read. */
static __always_inline int emit_frame(const struct connection *connection, u8 flow, u64 position,
                                      const struct moved *moved)
{
    struct iovec64 parts[2] = {};
    u64 captured = moved->size;
    if (!moved->vector || moved->entries - 1 > 1 ||
        read_user(parts, sizeof parts, (void *)moved->vector))
        return 0;
    u64 header = moved->entries == 2 ? parts[0].size : 0;
    u64 from = moved->entries == 2 ? parts[1].base : parts[0].base;
    u64 size = captured - header;
    if (header > HEADER_BYTES || size - 1 >= PAYLOAD_BYTES)
        return 0;
    u64 room = room_for(size, 0);
    asm volatile("" : "+r"(room)); /* as in emit_data */
    struct sw_record *slot = ring.ringbuf_reserve(sizeof *slot + HEADER_BYTES + room);
    if (!slot) {
        count(SW_COUNT_lost_ring_full, captured);
        return 1;
    }
    describe(slot, connection, flow);
    slot->position = position;
    slot->length = slot->captured = captured;
    asm volatile("" : "+r"(header));
    if (header > HEADER_BYTES)
        header = HEADER_BYTES;
    long failed = read_user(slot + 1, header, (void *)parts[0].base);
    asm volatile("" : "+r"(size));
    if (size > room)
        size = room;
    failed |= read_user((u8 *)(slot + 1) + header, size, (void *)from);
    submit(slot, HEADER_BYTES + room, captured, failed);
    return 1;
}

/* What a program writes to the ring by itself; the rest it leaves to the others, which saves it
 * their code. */
enum writes { BUFFERS, FRAMES, NOTHING };

/* The bytes of a call belong to `connection`.  Returns the program that goes on with it, or STAY.
 * `writes` is constant. */
static __always_inline u32 take(const struct who *key, const struct who *who,
                                struct connection *connection, const struct moved *moved,
                                enum writes writes)
{
    if (connection->state == HIDDEN)
        return STAY;
    if (connection->process != who->process)
        adopt(connection, who->process);
    connection->let_go = 0;
    u32 flow = moved->flow & 1;
    u64 position = connection->position[flow];
    connection->position[flow] += moved->size;
    u64 size = moved->size;
    u32 jump = STAY;
    if (connection->state != OPEN)
        jump = see_http(key, who, connection, moved, position, writes != BUFFERS, &size);
    if (!size || (writes == FRAMES && emit_frame(connection, flow, position, moved)))
        return jump;
    if (writes != BUFFERS || size > PIECE_BYTES)
        return share(key, who, moved, position, CAPTURE_LIMIT, JUMP_PUMP);
    emit_data(connection, flow, position, moved->size, moved->buffer, size, FROM_CALL);
    return jump;
}

/* A call has moved bytes; its hook goes on with the program that this returns, or STAYs. */
static __always_inline u32 see(const struct who *who, const struct moved *moved,
                               enum writes writes)
{
    u64 *what = known.lookup((struct who *)who);
    u64 sock = what ? *what : 0;
    if (sock == NOT_HTTP)
        return STAY;
    if (what && sock <= TLS_RECORDS_NO_MORE) {
        note_tls_socket(who, moved, what);
        return STAY;
    }
    struct who key = *who;
    struct connection *connection = connection_of(moved, sock, &key);
    if (connection)
        return take(&key, who, connection, moved, writes);
    return share(who, who, moved, 0, 0, JUMP_MEET);
}
