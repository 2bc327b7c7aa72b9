/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Which connections are WebSockets is decided here, so that other traffic never leaves the
 * kernel.  A request's head is kept until the header `Upgrade: websocket` is found in it
 * (RFC 6455 4.1); then it is passed on, with the response whatever its status.
 *
 *   LEARNING --looks like HTTP--> HTTP --asks--> ASKED --101--> OPEN
 *                                  ^               |
 *                                  +-- REFUSED <---+ any other status
 *
 * `gate` keeps the head, `search` and `token` look for the header, `begin` passes on what was
 * kept.  The whole of what was kept is searched, so that a pipelined request cannot hide.
 */

/* "GET ", "POST", ... as little-endian words: what an HTTP/1.1 request may begin with. */
static __always_inline int is_method(u32 word)
{
    return word == 0x20544547 /* GET  */ || word == 0x54534f50 /* POST */ ||
           word == 0x20545550 /* PUT  */ || word == 0x44414548 /* HEAD */ ||
           word == 0x454c4544 /* DELE */ || word == 0x4954504f /* OPTI */ ||
           word == 0x43544150 /* PATC */ || word == 0x4e4e4f43 /* CONN */ ||
           word == 0x43415254 /* TRAC */;
}

enum {
    WORD_HTTP = 0x50545448, /* "HTTP" */
    WORD_101 = 0x31303120,  /* " 101" */
    WORD_CONN = 0x4e4e4f43, /* "CONN" */
};

/* A PROXY protocol header, version 1 ("PROXY ") or 2 (its signature). */
static __always_inline int is_proxy_header(u32 word)
{
    return word == 0x584f5250 /* PROX */ || word == 0x0a0d0a0d /* \r\n\r\n */;
}

/* The head of a TLS record (RFC 8446 5.1): content type 20..24, version 3.x. */
static __always_inline int is_tls_record(u32 word)
{
    u8 type = word;
    return type >= 20 && type <= 24 && (u8)(word >> 8) == 3 && (u8)(word >> 16) <= 4;
}

static __always_inline void ignore(const struct who *who, u8 why)
{
    ignored.update((struct who *)who, &why);
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
    if (bpf_probe_read_user(&stash->data[at], size, (void *)call->buffer)) {
        count(SW_COUNT_lost_unreadable, size);
        return NOT_KEPT;
    }
    advance(call, size);
    connection->stashed += size;
    return KEPT;
}

/* A whole PROXY header and nothing else (version 1 is one line of at most 107 bytes). */
static __always_inline int is_lone_proxy_header(const struct stash *stash, u64 size)
{
    const u8 *data = stash->data;
    if (*(u32 *)data == 0x0a0d0a0d)
        return size == 16 + (data[14] << 8 | data[15]);
    if (size < 8 || size > 107)
        return 0;
    return data[size - 1] == '\n' && data[size - 3] != '\n';
}

/* TLS behind a PROXY header or a CONNECT: this is no HTTP any more, though the TLS library's
 * plaintext may be.  Only where nothing but TLS can follow: bytes like these in a body must not
 * make anyone look away. */
static __always_inline int goes_on_as_tls(struct connection *connection,
                                          const struct stash *stash, u64 before)
{
    u64 size = connection->stashed;
    u32 word = *(u32 *)&stash->data[before & (STASH_BYTES - 1)];
    u8 tunnel = connection->tunnel;
    if (tunnel == (before ? PROXY_HEADER : CONNECT) && size >= before + 4 && is_tls_record(word))
        return 1;
    if (before) {
        if (tunnel == PROXY_HEADER)
            connection->tunnel = NO_TUNNEL;
    } else if (word == WORD_CONN) {
        connection->tunnel = CONNECT;
    } else if (is_proxy_header(word) && is_lone_proxy_header(stash, size)) {
        connection->tunnel = PROXY_HEADER;
    } else {
        connection->tunnel = NO_TUNNEL;
    }
    return 0;
}

/* JUMP_GATE: bytes that may be part of a request's head, or a response with status 101 to a
 * request in which the header was not found. */
static __always_inline u32 gate(void)
{
    u64 thread = bpf_get_current_pid_tgid();
    struct call *call = calls.lookup(&thread);
    if (!call)
        return STAY;
    struct connection *connection = connections.lookup(&call->who);
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
            struct who who = call->who;
            ignore(&who, is_tls_record(word) ? TLS_RECORDS : NOT_HTTP);
            connections.delete(&who);
            return STAY;
        }
    }
    if (goes_on_as_tls(connection, stash, before)) {
        struct who who = call->who;
        ignore(&who, TLS_RECORDS);
        connections.delete(&who);
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
    struct connection *connection = connections.lookup(&call->who);
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
    struct connection *connection = connections.lookup(&call->who);
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
    struct connection *connection = connections.lookup(&call->who);
    struct stash *stash = stashes.lookup(&call->who);
    if (!connection || !stash)
        return STAY;
    struct who who = call->who;
    if (connection->number)
        emit_close(&who, connection);
    connection->number = bpf_ktime_get_boot_ns() << 8 | (bpf_get_smp_processor_id() & 0xff);
    connection->generation += 1;
    connection->state = call->flow == connection->requester ? ASKED : OPEN;
    connection->status_seen = 0;
    connection->interim = 0;
    if (connection->fd < 0)
        connection->fd = descriptor_of_ssl(&who);
    if (connection->fd >= 0)
        connection->sock = sock_of(connection->fd);
    u64 process = who.process;
    u8 one = 1;
    websocket_processes.update(&process, &one);
    emit_open(&who, connection);
    struct sw_record record;
    describe(&record, &who, connection, call->flow);
    record.position = connection->stash_start;
    record.length = connection->stashed + call->total;
    record.captured = connection->stashed;
    write_record(&record, (u64)stash->data, connection->stashed, 1);
    stashes.delete(&who);
    connection->stashed = 0;
    connection->overflowed = 1;
    return call->total ? JUMP_PUMP : STAY;
}

enum { STATUS_BYTES = 12, STATUS_ENTRIES = 4 };

/* A call's bytes begin with "HTTP/1.x 101": the answer to the upgrade among pipelined requests,
 * behind the answers to those before it. */
static __always_inline int is_switching(struct iovec64 buffer)
{
    struct {
        u32 name;
        u32 version;
        u32 status;
    } line = {};
    if (buffer.size < sizeof line)
        return 0;
    if (bpf_probe_read_user(&line, sizeof line, (void *)buffer.base))
        return 0;
    return line.name == WORD_HTTP && line.status == WORD_101;
}

/* The response's status line, "HTTP/1.1 101 ...", which may come in pieces.  True: all is known. */
static __always_inline int see_status(struct connection *connection, u64 buffer, u64 size)
{
    u64 at = connection->status_seen;
    if (at >= STATUS_BYTES)
        return 1;
    asm volatile("" : "+r"(size));
    if (size > STATUS_BYTES)
        size = STATUS_BYTES;
    if (!size || bpf_probe_read_user(&connection->status[at], size, (void *)buffer))
        return 0;
    connection->status_seen = at + size;
    if (at + size < STATUS_BYTES)
        return 0;
    const u8 *line = connection->status;
    int http = *(u32 *)line == WORD_HTTP && line[8] == ' ';
    if (http && line[9] == '1' && line[10] == '0' && line[11] == '1') {
        connection->state = OPEN;
    } else if (http && line[9] == '1') { /* 100, 103: the response is still to come */
        connection->status_seen = 0;
        connection->interim = 1;
    } else if (connection->interim && !http) {
        connection->state = OPEN; /* both came in one call: user space sees the status */
    } else {
        connection->state = REFUSED;
        connection->passing[0] = connection->passing[1] = PASSING_BYTES;
        connection->last_flow = connection->requester == SW_READ ? SW_WRITE : SW_READ;
    }
    return 1;
}
