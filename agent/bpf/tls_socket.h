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

static __always_inline struct tls_thread *this_tls_thread(void)
{
    u64 thread = bpf_get_current_pid_tgid();
    return tls_threads.lookup(&thread);
}

/* The object within whose call this system call is made; 0: none.  One that never returned
 * (longjmp) has its stack elsewhere. */
static __always_inline u64 ssl_at_work(const struct tls_thread *thread)
{
    if (!thread || thread->stack - saved_registers()->sp - 1 >= NESTING_BYTES)
        return 0;
    return thread->ssl;
}

static __always_inline void keep_receive(const struct who *descriptor, u64 buffer)
{
    struct tls_receive receive = {descriptor->process};
    s32 fd = descriptor->handle;
    if (read_user(receive.prefix, sizeof receive.prefix, (void *)buffer))
        return;
    s32 *before = tls_receives.lookup(&receive);
    if (!before)
        tls_receives.update(&receive, &fd);
    else if (*before != fd) /* whoever connects may send the same bytes twice */
        *before = SEVERAL;
}

/* A socket carries TLS.  `tries` is its place in `known`: bytes are kept of the first receives, and
 * of all where objects still ask for them. */
static __always_inline void note_tls_socket(const struct who *who, const struct moved *moved,
                                            u64 *tries)
{
    struct tls_thread *thread = this_tls_thread();
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
    s32 before = thread ? thread->received : NOTHING_RECEIVED;
    if (is_bound(who)) {
        if (thread && before != NOTHING_RECEIVED)
            thread->received = SEVERAL;
        return;
    }
    if (thread) {
        thread->received = before == NOTHING_RECEIVED || before == fd ? fd : SEVERAL;
    } else {
        u64 id = bpf_get_current_pid_tgid();
        struct tls_thread fresh = {.received = fd};
        tls_threads.update(&id, &fresh);
    }
    if (*tries >= TLS_RECORDS_NO_MORE) {
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
static __always_inline void learn_tls_socket(const struct who *ssl, struct tls_thread *thread)
{
    if (ssl_descriptors.lookup((struct who *)ssl))
        return;
    struct bio_source source = {0, -1, 0};
    if (thread->source == SW_OPENSSL)
        look_into_ssl(&source, ssl->handle);
    if (source.memory) {
        struct tls_receive receive = {ssl->process};
        read_user(receive.prefix, sizeof receive.prefix, (void *)source.memory);
        s32 *fd = tls_receives.lookup(&receive);
        if (fd)
            source.fd = *fd;
    } else if (!source.known && thread->flow == SW_READ) {
        source.fd = thread->received;
        struct who descriptor = {ssl->process, (u32)source.fd};
        if (is_bound(&descriptor))
            source.fd = -1;
    }
    if (thread->flow == SW_READ)
        thread->received = NOTHING_RECEIVED;
    if (source.fd >= 0) {
        bind(ssl, source.fd);
    } else {
        u8 one = 1;
        memory_bio_users.update((u64 *)&ssl->process, &one);
    }
}
