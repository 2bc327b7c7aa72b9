/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * System calls that move bytes, on their exit side: the saved registers still hold the
 * arguments, so one hook sees arguments and result.
 */
#if defined(__x86_64__) || defined(__TARGET_ARCH_x86)
#define ARGUMENT_0(regs) ((regs)->di)
#define ARGUMENT_1(regs) ((regs)->si)
#define ARGUMENT_2(regs) ((regs)->dx)
#define ARGUMENT_3(regs) ((regs)->r10)
#else /* arm64: x0 holds the result */
#define ARGUMENT_0(regs) ((regs)->orig_x0)
#define ARGUMENT_1(regs) ((regs)->regs[1])
#define ARGUMENT_2(regs) ((regs)->regs[2])
#define ARGUMENT_3(regs) ((regs)->regs[3])
#endif

/* /sys/kernel/tracing/events/syscalls/sys_exit_read/format */
struct sys_exit {
    u64 common;
    s32 number;
    u32 unused;
    s64 result;
};

enum { MSG_OOB_ = 1, MSG_PEEK_ = 2, MSG_TRUNC_ = 0x20, MSG_ERRQUEUE_ = 0x2000 };
enum { NOT_OF_THE_STREAM = MSG_OOB_ | MSG_PEEK_ | MSG_ERRQUEUE_ };

/* The vector of a struct user_msghdr: msg_iov and msg_iovlen. */
static __always_inline void read_message_header(struct moved *moved, u64 header)
{
    u64 fields[2] = {};
    read_user(fields, sizeof fields, (void *)(header + 16));
    moved->vector = fields[0];
    moved->entries = fields[1];
}

/* read, write, recvfrom, sendto */
int sys_exit_buffer(struct sys_exit *args)
{
    if (args->result <= 0)
        return 0;
    struct pt_regs *regs = saved_registers();
    s32 number = args->number;
    u32 flags = number == __NR_recvfrom ? ARGUMENT_3(regs) : 0;
    if (flags & NOT_OF_THE_STREAM)
        return 0;
    struct moved moved = {};
    moved.fd = ARGUMENT_0(regs);
    moved.buffer = flags & MSG_TRUNC_ ? 0 : ARGUMENT_1(regs); /* thrown away: nobody reads them */
    moved.size = args->result;
    moved.flow = number == __NR_write || number == __NR_sendto ? SW_WRITE : SW_READ;
    if (moved.size > ARGUMENT_2(regs)) /* MSG_TRUNC on a datagram tells more than there is */
        moved.size = ARGUMENT_2(regs);
    if (!moved.size)
        return 0;
    struct who who = {process_key(), (u32)moved.fd};
    u32 next = see(&who, &moved, BUFFERS);
    if (next != STAY)
        syscall_jumps.call(args, next);
    return 0;
}

/* readv, writev, preadv2, pwritev2, recvmsg, sendmsg */
int sys_exit_vector(struct sys_exit *args)
{
    if (args->result <= 0)
        return 0;
    struct pt_regs *regs = saved_registers();
    s32 number = args->number;
    u32 flags = number == __NR_recvmsg ? ARGUMENT_2(regs) : 0;
    if (flags & NOT_OF_THE_STREAM)
        return 0;
    struct moved moved = {};
    moved.fd = ARGUMENT_0(regs);
    moved.vector = ARGUMENT_1(regs);
    moved.entries = ARGUMENT_2(regs);
    moved.size = moved.message = args->result;
    moved.flow = number == __NR_writev || number == __NR_pwritev2 || number == __NR_sendmsg
                     ? SW_WRITE : SW_READ;
    struct who who = {process_key(), (u32)moved.fd};
    if (number == __NR_recvmsg || number == __NR_sendmsg)
        read_message_header(&moved, ARGUMENT_1(regs));
    if (flags & MSG_TRUNC_)
        moved.vector = 0;
    u32 next = see(&who, &moved, FRAMES);
    if (next != STAY)
        syscall_jumps.call(args, next);
    return 0;
}

enum { MAX_MESSAGES = 1024 }; /* UIO_MAXIOV: the kernel takes no more */

/* recvmmsg, sendmmsg: the result is a number of messages. */
int sys_exit_messages(struct sys_exit *args)
{
    if (args->result <= 0)
        return 0;
    struct pt_regs *regs = saved_registers();
    struct moved moved = {};
    moved.fd = ARGUMENT_0(regs);
    struct who who = {process_key(), (u32)moved.fd};
    u64 *what = known.lookup(&who);
    if (what && *what <= TLS_RECORDS) /* QUIC and DNS come by here: none of them is counted */
        return 0;
    moved.flow = args->number == __NR_sendmmsg ? SW_WRITE : SW_READ;
    if (moved.flow == SW_READ && ARGUMENT_3(regs) & (NOT_OF_THE_STREAM | MSG_TRUNC_))
        return 0;
    u64 at = ARGUMENT_1(regs);
    for (u32 n = 0; n < MAX_MESSAGES && n < args->result; n++) {
        struct mmsghdr64 header = {};
        if (read_user(&header, sizeof header, (void *)(at + n * sizeof header)))
            break;
        moved.size += header.moved;
        if (n)
            continue;
        moved.vector = header.vector;
        moved.entries = header.entries;
        moved.message = header.moved;
    }
    moved.messages = at + sizeof(struct mmsghdr64);
    moved.more = args->result - 1;
    if (!moved.size)
        return 0;
    u32 next = see(&who, &moved, NOTHING);
    if (next != STAY)
        syscall_jumps.call(args, next);
    return 0;
}
