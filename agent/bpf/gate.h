/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Which connections are WebSockets is decided here, so that other traffic never leaves the
 * kernel.  A request's head is kept until the header `Upgrade: websocket` is found in it
 * (RFC 6455 4.1); then it is passed on, with the response whatever its status.
 *
 *   LEARNING --a method, a PROXY header--> HTTP        else ignored until it is closed
 *   HTTP     --a request asks-----------> ASKED
 *   ASKED    --101----------------------> OPEN
 *   ASKED    --any other status---------> REFUSED
 *   REFUSED  --a request asks-----------> ASKED
 *   HTTP, REFUSED --101 and the header--> OPEN         to a request that was not recognised
 *
 * `gate` keeps the head, `search` and `token` look for the header, `begin` passes on what was
 * kept.  The whole of what was kept is searched, so that a pipelined request cannot hide.  What a
 * server understands and the search does not (a head beyond the stash, a blank before the colon)
 * shows by the server's own 101 with that header: from then on every byte is passed on.
 */

/* It is no HTTP, or no more. */
static __always_inline void look_away(struct call *call, const struct connection *connection,
                                      u8 why)
{
    ignore(&call->user, why);
    if (connection->number)
        end(&call->who, connection);
    else
        candidates.delete(&call->who);
}

/* Half the steps are entries of a vector; runs are jumps, of which the kernel allows 33. */
enum { KEEP_STEPS = 16, KEEP_RUNS = 16, KEPT, NOT_KEPT };

/* Copies the next bytes of the request behind those that are kept already.  What it counts with
 * lies in memory and not in registers: so each step looks the same to the verifier. */
static __always_inline u32 keep_some(struct call *call, struct connection *connection,
                                     struct stash *stash)
{
    u64 at = connection->stashed;
    if (!call->total || at >= STASH_BYTES)
        return NOT_KEPT;
    if (!call->left)
        return next_buffer(call) ? KEPT : NOT_KEPT;
    u64 size = call->left < call->total ? call->left : call->total;
    if (size > STASH_BYTES - at)
        size = STASH_BYTES - at;
    asm volatile("" : "+r"(size));
    if (size > STASH_STEP)
        size = STASH_STEP;
    asm volatile("" : "+r"(at));
    at &= STASH_BYTES - 1;
    if (read_user(&stash->data[at], size, (void *)call->buffer)) {
        count(SW_COUNT_lost_unreadable, size);
        return NOT_KEPT;
    }
    advance(call, size);
    connection->stashed += size;
    return KEPT;
}

/* JUMP_GATE: bytes that may be part of a request's head, or a response with status 101 to a
 * request in which the header was not found. */
static __always_inline u32 gate(void)
{
    u64 thread = bpf_get_current_pid_tgid();
    struct call *call = calls.lookup(&thread);
    if (!call)
        return STAY;
    struct connection *connection = connection_at(&call->who);
    if (!connection)
        return STAY;
    if (!call->keeps &&
        (connection->last_flow != call->flow || call->flow != connection->requester)) {
        connection->stashed = 0;
        connection->overflowed = 0;
        connection->stash_start = call->position;
        connection->last_flow = call->flow;
    }
    struct stash *stash = stashes.lookup(&call->who);
    if (!stash) {
        if (connection->stashed) {
            count(SW_COUNT_gate_stash_evicted, 1);
            connection->overflowed = 1;
            return STAY;
        }
        u32 index = 0;
        struct stash *empty = empty_stash.lookup(&index);
        if (!empty)
            return STAY;
        stashes.update(&call->who, empty);
        stash = stashes.lookup(&call->who);
        if (!stash)
            return STAY;
    }
    u64 before = connection->stashed;
    u32 kept = KEPT;
    for (int step = 0; step < KEEP_STEPS; step++) {
        kept = keep_some(call, connection, stash);
        if (kept == NOT_KEPT)
            break;
    }
    if (kept == KEPT && call->total && connection->stashed < STASH_BYTES) {
        if (++call->keeps < KEEP_RUNS)
            return JUMP_GATE;
        count(SW_COUNT_lost_vector_limit, call->total);
    }
    if (call->total && connection->stashed >= STASH_BYTES && !connection->overflowed) {
        connection->overflowed = 1;
        count(SW_COUNT_gate_head_too_long, 1);
    }
    if (connection->state == LEARNING) {
        u32 word = *(u32 *)stash->data;
        if (connection->stashed < 4)
            return STAY;
        if (is_proxy_header(word) || is_method(word)) {
            connection->state = HTTP;
        } else if (word == WORD_HTTP) { /* tracked from its middle on */
            connection->state = HTTP;
            connection->requester = call->flow == SW_READ ? SW_WRITE : SW_READ;
            return *(u32 *)&stash->data[8] == WORD_101 ? JUMP_SEARCH : STAY;
        } else {
            look_away(call, connection, is_tls_record(word) ? TLS_RECORDS : NOT_HTTP);
            return STAY;
        }
    }
    if (goes_on_as_tls(connection, stash, before)) {
        look_away(call, connection, TLS_RECORDS);
        return STAY;
    }
    return JUMP_SEARCH;
}

#define LOWER 0x2020202020202020ull
#define UPGRADE 0x3a65646172677075ull  /* "upgrade:" */
#define WEBSOCKE 0x656b636f73626577ull /* "websocke" */
#define NEWLINES 0x0a0a0a0a0a0a0a0aull
#define ONES 0x0101010101010101ull
#define HIGHS 0x8080808080808080ull

/* 1 if x is 0, without a branch: branches are what the verifier counts.  The barrier keeps the
 * compiler from making one of it. */
static __always_inline u64 is_zero(u64 x)
{
    x |= -x;
    asm volatile("" : "+r"(x));
    return (x >> 63) ^ 1;
}

/* Words a run; a request of 16 KiB takes eight runs. */
enum { SEARCH_WORDS = 256, DECOYS = 4 };

/* JUMP_SEARCH: a line that begins with "Upgrade:"?  Eight bytes a step: a newline among them,
 * then the name behind each of the eight places. */
static __always_inline u32 search(void)
{
    u64 thread = bpf_get_current_pid_tgid();
    struct call *call = calls.lookup(&thread);
    if (!call)
        return STAY;
    struct connection *connection = connection_at(&call->who);
    struct stash *stash = stashes.lookup(&call->who);
    if (!connection || !stash)
        return STAY;
    u64 size = connection->stashed, at = call->searched & ~7u;
    for (int i = 0; i < SEARCH_WORDS; i++, at += 8) {
        if (at >= size || at >= STASH_BYTES)
            return STAY;
        u64 word = *(u64 *)&stash->data[at] ^ NEWLINES;
        if (!((word - ONES) & ~word & HIGHS))
            continue;
        u64 found = 0;
#pragma unroll
        for (int k = 0; k < 8; k++) {
            u64 name = (*(u64 *)&stash->data[at + k + 1] | LOWER) ^ UPGRADE;
            u64 line = stash->data[at + k] ^ '\n';
            found |= is_zero(name | line);
        }
        if (found) {
            call->searched = at;
            return JUMP_TOKEN;
        }
    }
    call->searched = at;
    return JUMP_SEARCH;
}

enum { TOKEN_BYTES = 512 };

/* JUMP_TOKEN: does "websocket" stand on this line?  Else the search goes on behind.  A value
 * that is not whole yet is found when more bytes come: each search begins anew. */
static __always_inline u32 token(void)
{
    u64 thread = bpf_get_current_pid_tgid();
    struct call *call = calls.lookup(&thread);
    if (!call)
        return STAY;
    struct connection *connection = connection_at(&call->who);
    struct stash *stash = stashes.lookup(&call->who);
    if (!connection || !stash)
        return STAY;
    u64 at = call->searched, size = connection->stashed;
    if (at >= STASH_BYTES)
        return STAY;
    if (++call->decoys > DECOYS) /* more lines than the kernel has jumps: user space decides */
        return JUMP_BEGIN;
    call->searched = at + 8;
    at += 9; /* behind the newline and most of the name */
    for (int i = 0; i < TOKEN_BYTES; i++, at++) {
        if (at + 9 > size || stash->data[at] == '\n')
            break;
        if (((*(u64 *)&stash->data[at] | LOWER) ^ WEBSOCKE) == 0)
            return JUMP_BEGIN;
    }
    return JUMP_SEARCH;
}

/* JUMP_BEGIN: a connection is asked to become a WebSocket, or has become one unasked. */
static __always_inline u32 begin(void)
{
    u64 thread = bpf_get_current_pid_tgid();
    struct call *call = calls.lookup(&thread);
    if (!call)
        return STAY;
    struct connection *connection = connection_at(&call->who);
    struct stash *stash = stashes.lookup(&call->who);
    if (!connection || !stash)
        return STAY;
    if (connection->number) {
        emit_close(connection);
    } else {
        connections.update(&call->who, connection);
        candidates.delete(&call->who);
        connection = connections.lookup(&call->who);
        if (!connection) {
            count(SW_COUNT_map_full, 1);
            ignore(&call->user, NOT_HTTP);
            return STAY;
        }
    }
    connection->number = new_number();
    connection->midway = 0;
    connection->generation += 1;
    connection->state = call->flow == connection->requester ? ASKED : OPEN;
    connection->status_seen = 0;
    connection->interim = 0;
    if (connection->fd < 0) {
        u32 inode;
        connection->fd = descriptor_of_ssl(&call->user);
        connection->sock = sock_of(connection->fd, &inode);
    }
    adopt(connection, call->user.process);
    emit_open(&call->who, connection);
    emit_data(connection, call->flow, connection->stash_start, connection->stashed + call->total,
              (u64)stash->data, connection->stashed, FROM_STASH);
    stashes.delete(&call->who);
    connection->stashed = 0;
    connection->overflowed = 1;
    return call->total ? JUMP_PUMP : STAY;
}
