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

/* The bytes of a call belong to `connection`.  Returns the program that goes on with it, or STAY.
 * `shared` is constant: true leaves the writing of records to that program, which saves this one
 * their code. */
static __always_inline u32 take(const struct who *key, const struct who *who,
                                struct connection *connection, const struct moved *moved,
                                int shared)
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
        jump = see_http(key, who, connection, moved, position, shared, &size);
    if (!size)
        return jump;
    if (shared || size > PIECE_BYTES)
        return share(key, who, moved, position, CAPTURE_LIMIT, JUMP_PUMP);
    emit_data(connection, flow, position, moved->size, moved->buffer, size, 0);
    return jump;
}

/* A call has moved bytes; its hook goes on with the program that this returns, or STAYs. */
static __always_inline u32 see(const struct who *who, const struct moved *moved, int shared)
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
        return take(&key, who, connection, moved, shared);
    return share(who, who, moved, 0, 0, JUMP_MEET);
}
