/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Which socket carries an SSL object.
 */
/* A socket carries TLS: which SSL object is at work on this thread?  None: memory BIOs are in
 * use, and what was received last is what they are fed next. */
static __always_inline void note_tls_socket(const struct who *who, const struct moved *moved)
{
    u64 thread = bpf_get_current_pid_tgid();
    s32 fd = moved->fd;
    struct tls_call *at_work = tls_calls.lookup(&thread);
    if (at_work && at_work->ssl) {
        struct who ssl = {who->process, at_work->ssl};
        s32 *known = ssl_descriptors.lookup(&ssl);
        if (!known || *known != fd)
            ssl_descriptors.update(&ssl, &fd);
    } else if (moved->flow == SW_READ) {
        last_tls_receive.update(&thread, &fd);
    }
}

/* A read of an SSL object that made no system call of its own, successful or not: it was fed from
 * a memory BIO, with what this thread has received last.  Only a read says so: by the time of a
 * write the thread may have received for others. */
static __always_inline void learn_tls_socket(const struct who *ssl)
{
    if (ssl_descriptors.lookup((struct who *)ssl))
        return;
    u64 thread = bpf_get_current_pid_tgid();
    s32 *received = last_tls_receive.lookup(&thread);
    if (!received)
        return;
    s32 fd = *received;
    ssl_descriptors.update((struct who *)ssl, &fd);
}

/* -1: not known, and never guessed. */
static __always_inline s32 descriptor_of_ssl(const struct who *who)
{
    s32 *fd = ssl_descriptors.lookup((struct who *)who);
    return fd ? *fd : -1;
}
