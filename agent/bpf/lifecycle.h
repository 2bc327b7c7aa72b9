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
int sys_enter_close(struct sys_enter *args)
{
    struct who who = {process_key(), (u32)args->arguments[0]};
    forget(&who);
    return 0;
}

/* accept, accept4, socket: what the descriptor was before may have ended unseen, for one by
 * close_range(2). */
int sys_exit_new(struct sys_exit *args)
{
    if (args->result < 0)
        return 0;
    struct who who = {process_key(), (u32)args->result};
    forget(&who);
    return 0;
}

/* A descriptor that is the target of dup2(2) or dup3(2) was closed by it, silently. */
int sys_exit_dup2(struct sys_exit *args)
{
    struct pt_regs *regs = saved_registers();
    if (args->result < 0 || ARGUMENT_0(regs) == ARGUMENT_1(regs))
        return 0;
    struct who who = {process_key(), (u32)args->result};
    forget(&who);
    return 0;
}

int sys_exit_dup3(struct sys_exit *args)
{
    if (args->result < 0)
        return 0;
    struct who who = {process_key(), (u32)args->result};
    forget(&who);
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
