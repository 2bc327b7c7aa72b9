/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * From a piece of a call to a record in the ring.
 */
enum { PIECE_BYTES = 65536 };

static __always_inline void describe(struct sw_record *record,
                                     const struct connection *connection, u8 flow)
{
    record->connection = connection->number;
    record->time_ns = bpf_ktime_get_boot_ns();
    record->position = 0;
    record->length = 0;
    record->captured = 0;
    record->generation = connection->generation;
    record->process = connection->process >> 32;
    record->kind = SW_DATA;
    record->flow = flow;
    record->source = connection->source;
    record->role = connection->requester == SW_READ ? SW_SERVER : SW_CLIENT;
}

/* The ring is reserved by constant sizes only; at most half a record's room is wasted, three
 * quarters where it is `coarse` (a constant).  The verifier walks each of these branches apart, and so
 * knows a constant; in a loop that takes its time. */
static __always_inline u64 room_for(u64 size, int coarse)
{
    if (size <= 64 && !coarse)
        return 64;
    if (size <= 128 && !coarse)
        return 128;
    if (size <= 256)
        return 256;
    if (size <= 512 && !coarse)
        return 512;
    if (size <= 1024)
        return 1024;
    if (size <= 2048 && !coarse)
        return 2048;
    if (size <= 4096)
        return 4096;
    if (size <= 8192 && !coarse)
        return 8192;
    if (size <= 16384)
        return 16384;
    return PIECE_BYTES;
}

static __always_inline void submit(struct sw_record *slot, u64 room, u64 captured, long failed)
{
    if (failed) {
        count(SW_COUNT_lost_unreadable, captured);
        ring.ringbuf_discard(slot, BPF_RB_NO_WAKEUP);
        return;
    }
    count(SW_COUNT_captured_records, 1);
    count(SW_COUNT_captured_bytes, captured);
    ring.ringbuf_submit(slot, wake_up(sizeof *slot + room));
}

enum from { FROM_CALL, FROM_PUMP, FROM_STASH };

/* Passes on `size` bytes, PIECE_BYTES at most, of a call that goes on for `length` from there.
 * `where` is constant. */
static __always_inline void emit_data(const struct connection *connection, u8 flow, u64 position,
                                      u64 length, u64 from, u64 size, enum from where)
{
    u64 captured = size;
    u64 room = room_for(size, where == FROM_PUMP);
    asm volatile("" : "+r"(room)); /* the branches are to stay */
    struct sw_record *slot = ring.ringbuf_reserve(sizeof *slot + room);
    if (!slot) {
        count(SW_COUNT_lost_ring_full, captured);
        return;
    }
    describe(slot, connection, flow);
    slot->position = position;
    slot->length = length;
    slot->captured = captured;
    /* The verifier wants the bound on the very register that the copy uses. */
    asm volatile("" : "+r"(size));
    if (size > room)
        size = room;
    long failed = where == FROM_STASH ? read_kernel(slot + 1, size, (void *)from)
                                      : read_user(slot + 1, size, (void *)from);
    submit(slot, room, captured, failed);
}

static __always_inline void emit_open(const struct who *who, struct connection *connection)
{
    struct {
        struct sw_record record;
        struct sw_open open;
    } *slot = ring.ringbuf_reserve(sizeof *slot);
    if (!slot) {
        count(SW_COUNT_lost_ring_full, sizeof(struct sw_open));
        return;
    }
    describe(&slot->record, connection, SW_READ);
    slot->record.kind = SW_OPEN;
    slot->record.length = slot->record.captured = sizeof(struct sw_open);
    __builtin_memset(&slot->open, 0, sizeof slot->open);
    slot->open.process_start_ns = process_start_ns();
    slot->open.uid = bpf_get_current_uid_gid();
    slot->open.fd = connection->fd;
    slot->open.handle = who->handle;
    slot->open.flags = connection->midway ? SW_MIDSTREAM : 0;
    if (connection->sock)
        name_ends(&slot->open, connection->sock);
    count(SW_COUNT_connections, 1);
    count(SW_COUNT_captured_records, 1);
    ring.ringbuf_submit(slot, wake_up(sizeof *slot));
}

static __always_inline void emit_close(const struct connection *connection)
{
    struct {
        struct sw_record record;
        struct sw_close close;
    } *slot = ring.ringbuf_reserve(sizeof *slot);
    if (!slot) {
        count(SW_COUNT_lost_ring_full, sizeof(struct sw_close));
        return;
    }
    describe(&slot->record, connection, SW_READ);
    slot->record.kind = SW_CLOSE;
    slot->record.length = slot->record.captured = sizeof(struct sw_close);
    slot->close.end[SW_READ] = connection->position[SW_READ];
    slot->close.end[SW_WRITE] = connection->position[SW_WRITE];
    count(SW_COUNT_captured_records, 1);
    ring.ringbuf_submit(slot, wake_up(sizeof *slot));
}
