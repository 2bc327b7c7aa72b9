/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Which socket carries an SSL object, from the surest to the least sure:
 *
 * 1. a system call on it within a call on the object: the object reads and writes by itself;
 * 2. its BIO names the socket, or holds in memory what was received on one: the same bytes;
 * 3. its BIO is of the program's own making (Node.js, uSockets) or the library is not OpenSSL: the
 *    socket of the thread's last receive, if that was for no other object.
 *
 * Else it is not known, and never guessed.
 */

enum { TRIES = 8 };    /* receives of each socket that are kept in any case */
enum { SEVERAL = -1 }; /* in a descriptor's place: it is not known which */

/* The object within whose call this system call is made; 0: none.  One that never returned
 * (longjmp) has its stack elsewhere. */
static __always_inline u64 ssl_at_work(u64 thread)
{
    struct tls_call *call = tls_calls.lookup(&thread);
    if (!call || call->stack - saved_registers()->sp - 1 >= NESTING_BYTES)
        return 0;
    return call->ssl;
}

static __always_inline void keep_receive(const struct who *descriptor, u64 buffer)
{
    struct tls_receive receive = {descriptor->process};
    s32 fd = descriptor->handle;
    if (read_user(receive.prefix, sizeof receive.prefix, (void *)buffer))
        return;
    s32 *known = tls_receives.lookup(&receive);
    if (!known)
        tls_receives.update(&receive, &fd);
    else if (*known != fd) /* whoever connects may send the same bytes twice */
        *known = SEVERAL;
}

/* A socket carries TLS.  `tries` is its place in `ignored`: bytes are kept of the first receives, and
 * of all where objects still ask for them. */
static __always_inline void note_tls_socket(const struct who *who, const struct moved *moved,
                                            u8 *tries)
{
    u64 thread = bpf_get_current_pid_tgid();
    u64 ssl = ssl_at_work(thread);
    s32 fd = moved->fd;
    if (ssl) {
        struct who object = {who->process, ssl};
        if (descriptor_of_ssl(&object) != fd)
            bind(&object, fd);
        return;
    }
    if (moved->flow != SW_READ)
        return;
    s32 *before = last_tls_receive.lookup(&thread);
    if (is_bound(who)) {
        if (before)
            *before = SEVERAL;
        return;
    }
    s32 last = before && *before != fd ? SEVERAL : fd;
    last_tls_receive.update(&thread, &last);
    if (*tries >= TLS_RECORDS + TRIES) {
        if (!memory_bio_users.lookup((u64 *)&who->process))
            return;
    } else {
        *tries += 1;
    }
    struct iovec64 first = nth_buffer(moved, 0);
    if (first.size >= PREFIX_WORDS * sizeof(u64))
        keep_receive(who, first.base);
}

/* A call on an SSL object has returned, successful or not, and no system call of its own was seen
 * yet: what was the object fed with?  By the time of a write the thread may have received for others. */
static __always_inline void learn_tls_socket(const struct who *ssl,
                                             const struct tls_call *call)
{
    if (ssl_descriptors.lookup((struct who *)ssl))
        return;
    u64 thread = bpf_get_current_pid_tgid();
    struct bio_source source = {0, -1, 0};
    if (call->source == SW_OPENSSL)
        look_into_ssl(&source, ssl->handle);
    if (source.memory) {
        struct tls_receive receive = {ssl->process};
        read_user(receive.prefix, sizeof receive.prefix, (void *)source.memory);
        s32 *fd = tls_receives.lookup(&receive);
        if (fd)
            source.fd = *fd;
    } else if (!source.known && call->flow == SW_READ) {
        s32 *received = last_tls_receive.lookup(&thread);
        if (received)
            source.fd = *received;
        struct who descriptor = {ssl->process, (u32)source.fd};
        if (is_bound(&descriptor))
            source.fd = -1;
    }
    if (call->flow == SW_READ)
        last_tls_receive.delete(&thread);
    if (source.fd >= 0) {
        bind(ssl, source.fd);
    } else {
        u8 one = 1;
        memory_bio_users.update((u64 *)&ssl->process, &one);
    }
}
