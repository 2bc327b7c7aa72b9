/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * TLS libraries: the plaintext at their reading and writing functions.  The entry keeps the
 * arguments, the return decides: an entry alone would count a write that is tried again twice.
 */
#if defined(__x86_64__) || defined(__TARGET_ARCH_x86)
#define PARAMETER_0(regs) ((regs)->di)
#define PARAMETER_1(regs) ((regs)->si)
#define PARAMETER_3(regs) ((regs)->cx)
#define PARAMETER_4(regs) ((regs)->r8)
#define STACK_AT_ENTRY(regs) ((regs)->sp)
#define STACK_AT_RETURN(regs) ((regs)->sp - 8) /* the return address is gone */
#define RETURNED(regs) ((regs)->ax)
#else
#define PARAMETER_0(regs) ((regs)->regs[0])
#define PARAMETER_1(regs) ((regs)->regs[1])
#define PARAMETER_3(regs) ((regs)->regs[3])
#define PARAMETER_4(regs) ((regs)->regs[4])
#define STACK_AT_ENTRY(regs) ((regs)->sp)
#define STACK_AT_RETURN(regs) ((regs)->sp)
#define RETURNED(regs) ((regs)->regs[0])
#endif

/* A library that wraps another has both probed, and the outer call counts: it is what the program
 * has asked for.  A call is nested if its stack is a little below the one that is at work; else that
 * one will not return any more (longjmp), or waits on another stack (coroutines). */
static __always_inline void enter_with(struct pt_regs *regs, u64 ssl, u8 source, u8 flow,
                                       u64 buffer, u64 size_pointer)
{
    u64 thread = bpf_get_current_pid_tgid();
    u64 stack = STACK_AT_ENTRY(regs);
    struct tls_thread *user = tls_threads.lookup(&thread);
    if (!user) {
        struct tls_thread fresh = {ssl, buffer, size_pointer, stack, NOTHING_RECEIVED, flow, source};
        tls_threads.update(&thread, &fresh);
        return;
    }
    if (user->stack - stack - 1 < NESTING_BYTES)
        return;
    user->ssl = ssl;
    user->buffer = buffer;
    user->size_pointer = size_pointer;
    user->stack = stack;
    user->flow = flow;
    user->source = source;
    user->jumped = 0;
}

static __always_inline void enter(struct pt_regs *regs, u8 source, u8 flow, u64 size_pointer)
{
    enter_with(regs, PARAMETER_0(regs), source, flow, PARAMETER_1(regs), size_pointer);
}

/* int SSL_read(SSL *ssl, void *buf, int num); */
int tls_read_enter(struct pt_regs *regs)
{
    enter(regs, SW_OPENSSL, SW_READ, 0);
    return 0;
}

/* int SSL_write(SSL *ssl, const void *buf, int num); */
int tls_write_enter(struct pt_regs *regs)
{
    enter(regs, SW_OPENSSL, SW_WRITE, 0);
    return 0;
}

/* int SSL_read_ex(SSL *ssl, void *buf, size_t num, size_t *readbytes); and SSL_read_early_data */
int tls_read_ex_enter(struct pt_regs *regs)
{
    enter(regs, SW_OPENSSL, SW_READ, PARAMETER_3(regs));
    return 0;
}

/* int SSL_write_ex(SSL *ssl, const void *buf, size_t num, size_t *written); and
 * SSL_write_early_data */
int tls_write_ex_enter(struct pt_regs *regs)
{
    enter(regs, SW_OPENSSL, SW_WRITE, PARAMETER_3(regs));
    return 0;
}

/* A function that ends with a jump to another that is probed makes two entries at one place of the
 * stack, and two returns. */
static __always_inline int is_jumped_to(struct pt_regs *regs)
{
    u64 thread = bpf_get_current_pid_tgid();
    struct tls_thread *outer = tls_threads.lookup(&thread);
    if (!outer || outer->stack != STACK_AT_ENTRY(regs) || outer->ssl != PARAMETER_0(regs) ||
        outer->jumped)
        return 0;
    outer->jumped = 1;
    return 1;
}

/* int SSL_write_ex2(SSL *ssl, const void *buf, size_t num, uint64_t flags, size_t *written); that
 * SSL_write_ex jumps to */
int tls_write_ex2_enter(struct pt_regs *regs)
{
    if (!is_jumped_to(regs))
        enter(regs, SW_OPENSSL, SW_WRITE, PARAMETER_4(regs));
    return 0;
}

/* ssize_t gnutls_record_recv(gnutls_session_t session, void *data, size_t data_size); */
int gnutls_read_enter(struct pt_regs *regs)
{
    enter(regs, SW_GNUTLS, SW_READ, 0);
    return 0;
}

/* To go on after GNUTLS_E_AGAIN a program may leave the data out: it is what it gave before. */
static __always_inline void enter_gnutls_write(struct pt_regs *regs)
{
    struct who session = {process_key(), PARAMETER_0(regs)};
    u64 data = PARAMETER_1(regs);
    if (data) {
        unsent.update(&session, &data);
    } else {
        u64 *before = unsent.lookup(&session);
        if (before)
            data = *before;
    }
    enter_with(regs, PARAMETER_0(regs), SW_GNUTLS, SW_WRITE, data, 0);
}

/* ssize_t gnutls_record_send(gnutls_session_t session, const void *data, size_t data_size); */
int gnutls_write_enter(struct pt_regs *regs)
{
    enter_gnutls_write(regs);
    return 0;
}

/* gnutls_record_send2, with more parameters behind, that gnutls_record_send jumps to */
int gnutls_write2_enter(struct pt_regs *regs)
{
    if (!is_jumped_to(regs))
        enter_gnutls_write(regs);
    return 0;
}

/* Netscape Portable Runtime: what NSS puts over a socket is a layer (SSL_ImportFD), whose methods
 * say so; PR_Read of a file or a plain socket is none of ours. */
enum { PR_DESC_LAYERED_ = 4 };

static __always_inline u64 layer(u64 descriptor)
{
    u64 methods = 0;
    u32 type = 0;
    read_user(&methods, sizeof methods, (void *)descriptor);
    read_user(&type, sizeof type, (void *)methods);
    return type == PR_DESC_LAYERED_ ? descriptor : 0;
}

/* PRInt32 PR_Read(PRFileDesc *fd, void *buf, PRInt32 amount); and PR_Recv */
int nss_read_enter(struct pt_regs *regs)
{
    enter_with(regs, layer(PARAMETER_0(regs)), SW_NSS, SW_READ, PARAMETER_1(regs), 0);
    return 0;
}

/* PRInt32 PR_Write(PRFileDesc *fd, const void *buf, PRInt32 amount); and PR_Send */
int nss_write_enter(struct pt_regs *regs)
{
    enter_with(regs, layer(PARAMETER_0(regs)), SW_NSS, SW_WRITE, PARAMETER_1(regs), 0);
    return 0;
}

/* The return of each of them.  The _ex functions return 1, and the size through a pointer. */
int tls_exit(struct pt_regs *regs)
{
    u64 thread = bpf_get_current_pid_tgid();
    s32 result = RETURNED(regs);
    struct tls_thread *user = tls_threads.lookup(&thread);
    if (!user || !user->stack) {
        count(SW_COUNT_calls_unmatched, 1);
        return 0;
    }
    struct tls_thread was = *user;
    if (was.jumped) {
        user->jumped = 0;
        return 0;
    }
    u64 stack = STACK_AT_RETURN(regs);
    if (was.stack - stack - 1 < NESTING_BYTES)
        return 0; /* a nested one */
    user->stack = 0;
    if (was.stack != stack) {
        count(SW_COUNT_calls_unmatched, 1);
        return 0;
    }
    if (!was.ssl) /* no TLS */
        return 0;
    struct who who = {process_key(), was.ssl};
    learn_tls_socket(&who, user);
    if (result <= 0)
        return 0;
    struct moved moved = {};
    moved.buffer = was.buffer;
    moved.size = result;
    moved.fd = -1;
    moved.flow = was.flow;
    moved.source = was.source;
    if (was.size_pointer)
        read_user(&moved.size, sizeof moved.size, (void *)was.size_pointer);
    if (!moved.size)
        return 0;
    u32 next = see(&who, &moved, BUFFERS);
    if (next != STAY)
        tls_jumps.call(regs, next);
    return 0;
}

/* void SSL_free(SSL *ssl); void gnutls_deinit(gnutls_session_t session); PRStatus PR_Close(PRFileDesc
 * *fd); */
int tls_free_enter(struct pt_regs *regs)
{
    struct who who = {process_key(), PARAMETER_0(regs)};
    end_ssl(&who);
    unbind_ssl(&who);
    unsent.delete(&who);
    return 0;
}
