/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * A descriptor or an SSL object that was not seen yet.
 */

/* What a descriptor or an SSL object that was not seen yet belongs to, in `key`.  True: to
 * something that is a WebSocket or may become one. */
static __always_inline int first_sight(const struct who *who, const struct moved *moved,
                                       struct who *key)
{
    struct connection fresh = {};
    fresh.process = who->process;
    fresh.requester = moved->flow;
    fresh.last_flow = FLOW_NONE;
    fresh.source = moved->source;
    fresh.fd = moved->fd;
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
            known.update((struct who *)who, &sock);
            return 1;
        }
    }
    u32 word = 0;
    if (first.size >= sizeof word)
        read_user(&word, sizeof word, (void *)first.base);
    if (moved->source == SW_SOCKET &&
        (is_tls_record(word) || ssl_at_work(this_tls_thread()))) {
        ignore(who, TLS_RECORDS);
        u64 *tries = known.lookup((struct who *)who);
        if (tries)
            note_tls_socket(who, moved, tries);
        return 0;
    }
    if (!is_method(word) && !is_proxy_header(word) && word != WORD_HTTP) {
        if (is_earlier(who, moved, &fresh.inode))
            return meet_midway(who, moved, key, &fresh);
        if (first.size >= sizeof word) { /* else the gate learns */
            ignore(who, NOT_HTTP);
            return 0;
        }
    }
    candidates.update(key, &fresh);
    if (moved->source == SW_SOCKET)
        known.update((struct who *)who, &fresh.sock);
    return 1;
}

/* JUMP_MEET */
static __always_inline u32 meet(void)
{
    u64 thread = bpf_get_current_pid_tgid();
    struct call *call = calls.lookup(&thread);
    if (!call)
        return STAY;
    struct who user = call->user, key = user;
    struct moved moved = {};
    moved.buffer = call->buffer;
    moved.size = call->total;
    moved.vector = call->vector;
    moved.message = call->message;
    moved.messages = call->messages;
    moved.entries = call->entries;
    moved.more = call->more;
    moved.flow = call->flow;
    moved.source = call->source;
    moved.fd = moved.source == SW_SOCKET ? (s32)user.handle : -1;
    if (!first_sight(&user, &moved, &key))
        return STAY;
    struct connection *connection = connection_at(&key);
    return connection ? take(&key, &user, connection, &moved, NOTHING) : STAY;
}
