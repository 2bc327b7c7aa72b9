/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Ends: of a descriptor, of an SSL object, of a process.
 */

/* /sys/kernel/tracing/events/syscalls/sys_enter_close/format */
struct sys_enter {
    u64 common;
    s64 number;
    u64 arguments[6];
};

/* Before the descriptor is free: another thread may have it again before this call returns. */
static __always_inline void before_close(s32 fd)
{
    struct who who = {process_key(), (u32)fd};
    u64 file = file_of(fd);
    if (file)
        let_go(&who, is_last_reference(file));
}

int sys_enter_close(struct sys_enter *args)
{
    before_close(args->arguments[0]);
    return 0;
}

/* The target of dup2(2) or dup3(2) is closed by it, silently. */
int sys_enter_dup2(struct sys_enter *args)
{
    if (args->arguments[0] != args->arguments[1] && file_of(args->arguments[0]))
        before_close(args->arguments[1]);
    return 0;
}

/* accept, accept4, socket: what the descriptor was before has ended, perhaps unseen
 * (close_range(2), io_uring). */
int sys_exit_new(struct sys_exit *args)
{
    if (args->result < 0)
        return 0;
    struct who who = {process_key(), (u32)args->result};
    let_go(&who, 0);
    return 0;
}

/* /sys/kernel/tracing/events/sock/inet_sock_set_state/format */
struct socket_state {
    u64 common;
    u64 sock;
    s32 old_state;
    s32 new_state;
};

enum { TCP_ESTABLISHED_ = 1, TCP_SYN_SENT_ = 2, TCP_CLOSE_ = 7 };

/* TCP begins or ends a connection, on behalf of whatever process. */
int socket_state_changes(struct socket_state *args)
{
    struct who key = {0, args->sock};
    struct connection *connection = connections.lookup(&key);
    if (!connection)
        return 0;
    if (args->new_state == TCP_CLOSE_ && !connection->let_go && connection->state != HIDDEN)
        connection->over = 1;
    else if (args->new_state == TCP_CLOSE_ || args->new_state == TCP_ESTABLISHED_ ||
             args->new_state == TCP_SYN_SENT_)
        end(&key, connection);
    return 0;
}

/* With the process end all its connections, in one record. */
static __always_inline void end_process(u64 process)
{
    if (!websocket_processes.lookup(&process))
        return;
    websocket_processes.delete(&process);
    struct sw_record *slot = ring.ringbuf_reserve(sizeof(struct sw_record));
    if (!slot) {
        count(SW_COUNT_lost_ring_full, sizeof(struct sw_record));
        return;
    }
    __builtin_memset(slot, 0, sizeof *slot);
    slot->time_ns = bpf_ktime_get_boot_ns();
    slot->process = process >> 32;
    slot->kind = SW_EXIT;
    count(SW_COUNT_captured_records, 1);
    ring.ringbuf_submit(slot, wake_up(sizeof *slot));
}

/* The last thread of a process ends: the kernel closes what it had open without a call. */
int sched_process_exit(void *args)
{
    u64 signal = load_u64(bpf_get_current_task() + OFFSET_task_struct_signal);
    if (!load_u32(signal + OFFSET_signal_struct_live))
        end_process(process_key());
    return 0;
}

/* Another program in the same process: what it inherits is seen anew. */
int sched_process_exec(void *args)
{
    end_process(process_key_before_exec());
    return 0;
}
