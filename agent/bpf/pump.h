/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Passes on what is left of a call, a record at a step.  A program may not loop for long, so
 * it calls itself again; the kernel allows 33 such calls, the capture limit ends it earlier.
 */
enum { PUMP_STEPS = 32 };

static __always_inline u32 pump(void)
{
    u64 thread = bpf_get_current_pid_tgid();
    struct call *call = calls.lookup(&thread);
    if (!call)
        return STAY;
    struct connection *connection = connection_at(&call->who);
    if (!connection)
        return STAY;
    for (int step = 0; step < PUMP_STEPS; step++) {
        if (!call->total)
            return STAY;
        if (!call->limit) {
            count(SW_COUNT_lost_capture_limit, call->total);
            return STAY;
        }
        if (!call->left && !next_buffer(call)) {
            count(SW_COUNT_lost_unreadable, call->total);
            return STAY;
        }
        u64 size = call->left;
        if (size > call->total)
            size = call->total;
        if (size > call->limit)
            size = call->limit;
        if (size > PIECE_BYTES)
            size = PIECE_BYTES;
        if (!size) /* an empty entry */
            continue;
        emit_data(connection, call->flow, call->position, call->total, call->buffer, size,
                  FROM_PUMP);
        advance(call, size);
        call->limit -= size;
    }
    return JUMP_PUMP;
}

/* The kernel has refused one more jump: what is left of the call is lost. */
static __always_inline void pump_ended(void)
{
    u64 thread = bpf_get_current_pid_tgid();
    struct call *call = calls.lookup(&thread);
    if (call)
        count(SW_COUNT_lost_vector_limit, call->total);
}
