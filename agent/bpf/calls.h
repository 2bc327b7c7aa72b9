/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Every call that has moved bytes comes by here, whatever its kind.  The order of the tests is
 * the order of what is frequent: a descriptor that is none of our business costs one look-up.
 */

/* The first bytes of something unknown.  True: it may become a WebSocket. */
static __always_inline int first_sight(const struct who *who, const struct moved *moved)
{
    struct connection fresh = {};
    struct iovec64 first = nth_buffer(moved, 0);
    u32 word = 0;
    if (first.size >= sizeof word) { /* else the gate learns */
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
    u32 process = who->process >> 32;
    if (excluded.lookup(&process) || (moved->source == SW_SOCKET && !sock_of(moved->fd))) {
        ignore(who, NOT_HTTP);
        return 0;
    }
    fresh.requester = moved->flow;
    fresh.last_flow = FLOW_NONE;
    fresh.source = moved->source;
    fresh.fd = moved->fd;
    if (connections.update((struct who *)who, &fresh)) {
        count(SW_COUNT_map_full, 1);
        return 0;
    }
    return 1;
}

static __always_inline u32 share(const struct who *who, const struct moved *moved, u64 position,
                                 u64 limit, u32 jump)
{
    u64 thread = bpf_get_current_pid_tgid();
    struct call call = {};
    call.who = *who;
    call.total = moved->size;
    call.limit = limit;
    call.position = position;
    call.flow = moved->flow;
    call.source = moved->source;
    if (moved->vector) {
        call.vector = moved->vector;
        call.entries = moved->entries;
    } else {
        call.buffer = moved->buffer;
        call.left = moved->size;
    }
    calls.update(&thread, &call);
    return jump;
}

/* As long as it is no WebSocket: who goes on with the call, and in `size` how much of it is passed
 * on at once. */
static __always_inline u32 see_http(const struct who *who, struct connection *connection,
                                    const struct moved *moved, u64 position, int vector, u64 *size)
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
            jump = share(who, moved, position, 0, JUMP_GATE);
    } else if (!is_switching(nth_buffer(moved, 0))) {
        connection->last_flow = flow;
    } else if (state == REFUSED && connection->last_flow == flow) {
        connection->state = OPEN; /* asked for by a request behind the refused one */
        return STAY;
    } else {
        *size = 0;
        return share(who, moved, position, 0, JUMP_GATE);
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
    struct connection *connection = connections.lookup((struct who *)who);
    if (!connection) {
        if (!first_sight(who, moved))
            return STAY;
        connection = connections.lookup((struct who *)who);
        if (!connection)
            return STAY;
    }
    u32 flow = moved->flow & 1;
    u64 position = connection->position[flow];
    connection->position[flow] += moved->size;
    u64 size = moved->size;
    u32 jump = STAY;
    if (connection->state != OPEN)
        jump = see_http(who, connection, moved, position, vector, &size);
    if (!size)
        return jump;
    if (vector || size > PIECE_BYTES)
        return share(who, moved, position, CAPTURE_LIMIT, JUMP_PUMP);
    emit_piece(who, connection, flow, position, moved->size, moved->buffer, size);
    return jump;
}
