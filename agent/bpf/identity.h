/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Who moved these bytes, and over which socket: the kernel's own structures, at offsets that
 * BTF told (agent/probe/btf.py; OFFSET_struct_field).
 */

static __always_inline u64 load_u64(u64 address)
{
    u64 value = 0;
    read_kernel(&value, sizeof value, (void *)address);
    return value;
}

static __always_inline u32 load_u32(u64 address)
{
    u32 value = 0;
    read_kernel(&value, sizeof value, (void *)address);
    return value;
}

static __always_inline u16 load_u16(u64 address)
{
    u16 value = 0;
    read_kernel(&value, sizeof value, (void *)address);
    return value;
}

/* A load through a pointer that the verifier knows the type of, a third of a helper call's price.
 * In assembly, since BCC would rewrite it in C. */
#define LOAD(width, from, offset)                                          \
    ({                                                                     \
        u64 loaded;                                                        \
        asm volatile("%0 = *(" #width " *)(%1 + %2)"                       \
                     : "=r"(loaded)                                        \
                     : "r"(from), "i"(offset));                            \
        loaded;                                                            \
    })

static __always_inline u64 group_leader(void)
{
    return LOAD(u64, bpf_get_current_task_btf(), OFFSET_task_struct_group_leader);
}

static __always_inline u64 process_start_ns(void)
{
    return LOAD(u64, group_leader(), OFFSET_task_struct_start_boottime);
}

/* A process id alone may be another process's tomorrow, and execve(2) closes descriptors that
 * no close(2) is seen of: the start time and the count of executions make it one. */
static __always_inline u64 process_key_at(u32 executions_ago)
{
    u32 tgid = bpf_get_current_pid_tgid() >> 32;
    u64 leader = group_leader();
    u64 start = LOAD(u64, leader, OFFSET_task_struct_start_boottime);
    u32 executions = LOAD(u32, leader, OFFSET_task_struct_self_exec_id) - executions_ago;
    return (u64)tgid << 32 | (u32)((start >> 16) ^ (executions << 24));
}

static __always_inline u64 process_key(void)
{
    return process_key_at(0);
}

/* Where the count has just gone up. */
static __always_inline u64 process_key_before_exec(void)
{
    return process_key_at(1);
}

/* Of the program, as it has entered the kernel. */
static __always_inline struct pt_regs *saved_registers(void)
{
    return (struct pt_regs *)bpf_task_pt_regs((void *)bpf_get_current_task_btf());
}

enum { S_IFMT_ = 0170000, S_IFSOCK_ = 0140000 };

/* The struct file behind a descriptor of the current process; 0: none. */
static __always_inline u64 file_of(s32 fd)
{
    u64 files = LOAD(u64, bpf_get_current_task_btf(), OFFSET_task_struct_files);
    u64 table = LOAD(u64, files, OFFSET_files_struct_fdt);
    if (fd < 0 || (u32)fd >= LOAD(u32, table, OFFSET_fdtable_max_fds))
        return 0;
    return load_u64(LOAD(u64, table, OFFSET_fdtable_fd) + 8 * (u64)(u32)fd);
}

/* The struct sock behind a file that is a socket's. */
static __always_inline u64 sock_of_file(u64 file)
{
    u64 socket = load_u64(file + OFFSET_file_private_data);
    return load_u64(socket + OFFSET_socket_sk);
}

/* The struct sock behind a descriptor, and the number of its inode; 0: not a socket. */
static __always_inline u64 sock_of(s32 fd, u32 *number)
{
    u64 file = file_of(fd);
    if (!file)
        return 0;
    u64 inode = load_u64(file + OFFSET_file_f_inode);
    if ((load_u16(inode + OFFSET_inode_i_mode) & S_IFMT_) != S_IFSOCK_)
        return 0;
    *number = load_u64(inode + OFFSET_inode_i_ino);
    return sock_of_file(file);
}

/* No other descriptor, process or call holds the file. */
static __always_inline int is_last_reference(u64 file)
{
    return load_u64(file + OFFSET_file_references) == ONE_REFERENCE;
}

enum { AF_UNIX_ = 1, AF_INET_ = 2, AF_INET6_ = 10 };

/* Fills in the addresses of both ends.  An IPv4 connection of an IPv6 socket is IPv4. */
static __always_inline void name_ends(struct sw_open *open, u64 sock)
{
    u16 family = load_u16(sock + OFFSET_sock_common_skc_family);
    if (family == AF_UNIX_)
        open->family = SW_UNIX;
    if (family != AF_INET_ && family != AF_INET6_)
        return;
    open->local_port = load_u16(sock + OFFSET_sock_common_skc_num);
    open->remote_port = __builtin_bswap16(load_u16(sock + OFFSET_sock_common_skc_dport));
    if (family == AF_INET6_) {
        read_kernel(open->local, 16,
                              (void *)(sock + OFFSET_sock_common_skc_v6_rcv_saddr));
        read_kernel(open->remote, 16, (void *)(sock + OFFSET_sock_common_skc_v6_daddr));
        u32 *words = (u32 *)open->remote;
        if (words[0] || words[1] || words[2] != __builtin_bswap32(0xffff)) {
            open->family = SW_IPV6;
            return;
        }
        __builtin_memset(open->local, 0, 16);
        __builtin_memset(open->remote, 0, 16);
    }
    open->family = SW_IPV4;
    *(u32 *)open->local = load_u32(sock + OFFSET_sock_common_skc_rcv_saddr);
    *(u32 *)open->remote = load_u32(sock + OFFSET_sock_common_skc_daddr);
}
