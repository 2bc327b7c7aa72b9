/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Every call that has moved bytes comes by here, whatever its kind.  The order of the tests is
 * the order of what is frequent: a descriptor that is none of our business costs one look-up.
 */

/* What a descriptor or an SSL object that was not seen yet belongs to, in `key`.  True: to
 * something that is a WebSocket or may become one. */
static __always_inline int first_sight(const struct who *who, const struct moved *moved,
                                       struct who *key)
{
    struct connection fresh = {};
    struct iovec64 first = nth_buffer(moved, 0);
    u32 process = who->process >> 32;
    if (excluded.lookup(&process)) {
        ignore(who, NOT_HTTP);
        return 0;
    }
    if (moved->source == SW_SOCKET) {
        u64 sock = sock_of(moved->fd, &fresh.inode);
        if (!sock) {
            ignore(who, NOT_HTTP);
            return 0;
        }
        key->process = 0;
        key->handle = fresh.sock = sock;
        if (is_known_socket(key, fresh.inode)) {
            descriptors.update((struct who *)who, &sock);
            return 1;
        }
    }
    if (first.size >= 4) { /* else the gate learns */
        u32 word = 0;
        bpf_probe_read_user(&word, sizeof word, (void *)first.base);
        if (is_tls_record(word) && moved->source == SW_SOCKET) {
            ignore(who, TLS_RECORDS);
            note_tls_socket(who, moved);
            return 0;
        }
        if (!is_method(word) && !is_proxy_header(word) && word != WORD_HTTP) {
            ignore(who, NOT_HTTP);
            return 0;
        }
    }
    fresh.process = who->process;
    fresh.requester = moved->flow;
    fresh.last_flow = FLOW_NONE;
    fresh.source = moved->source;
    fresh.fd = moved->fd;
    candidates.update(key, &fresh);
    if (moved->source == SW_SOCKET)
        descriptors.update((struct who *)who, &fresh.sock);
    return 1;
}

/* The connection of a call, and its `key`; 0: none that matters. */
static __always_inline struct connection *connection_of(const struct who *who,
                                                        const struct moved *moved,
                                                        struct who *key)
{
    struct connection *connection = 0;
    if (moved->source == SW_SOCKET) {
        u64 *sock = descriptors.lookup((struct who *)who);
        if (sock) {
            key->process = 0;
            key->handle = *sock;
            connection = connection_at(key);
            /* A descriptor may have been closed unseen, and used again (io_uring). */
            if (connection && connection->number &&
                sock_of_file(file_of(moved->fd)) != key->handle)
                connection = 0;
        }
    } else {
        connection = connection_at(key);
    }
    if (!connection && first_sight(who, moved, key))
        connection = connection_at(key);
    return connection;
}

static __always_inline u32 share(const struct who *key, const struct who *user,
                                 const struct moved *moved, u64 position, u64 limit, u32 jump)
{
    u64 thread = bpf_get_current_pid_tgid();
    struct call call = {};
    call.who = *key;
    call.user = *user;
    call.total = moved->size;
    call.limit = limit;
    call.position = position;
    call.flow = moved->flow;
    call.source = moved->source;
    if (moved->vector) {
        call.vector = moved->vector;
        call.entries = moved->entries;
        call.message = moved->message;
        call.messages = moved->messages;
        call.more = moved->more;
    } else {
        call.buffer = moved->buffer;
        call.left = moved->size;
    }
    calls.update(&thread, &call);
    return jump;
}

/* As long as it is no WebSocket: who goes on with the call, and in `size` how much of it is passed
 * on at once. */
static __always_inline u32 see_http(const struct who *key, const struct who *who,
                                    struct connection *connection, const struct moved *moved,
                                    u64 position, int vector, u64 *size)
{
    u8 state = connection->state;
    u32 flow = moved->flow & 1; /* the mask is for the verifier */
    u32 jump = STAY;
    if (state == ASKED) {
        if (flow != connection->requester)
            see_response(connection, moved, vector);
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
    if (state != REFUSED || vector)
        *size = 0;
    if (*size > connection->passing[flow])
        *size = connection->passing[flow];
    connection->passing[flow] -= *size;
    return jump;
}

/* Returns the program that goes on with it, or STAY.  `vector` is constant: a vector is left to
 * that program, which saves this one the code that writes records. */
static __always_inline u32 see(const struct who *who, const struct moved *moved, int vector)
{
    u8 *why = ignored.lookup((struct who *)who);
    if (why) {
        if (*why == TLS_RECORDS)
            note_tls_socket(who, moved);
        return STAY;
    }
    struct who key = *who;
    struct connection *connection = connection_of(who, moved, &key);
    if (!connection || connection->state == HIDDEN)
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
        jump = see_http(&key, who, connection, moved, position, vector, &size);
    if (!size)
        return jump;
    if (vector || size > PIECE_BYTES)
        return share(&key, who, moved, position, CAPTURE_LIMIT, JUMP_PUMP);
    emit_piece(connection, flow, position, moved->size, moved->buffer, size);
    return jump;
}
