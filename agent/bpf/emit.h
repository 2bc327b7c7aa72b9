/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * From a piece of a call to a record of the fitting size class.
 */
enum { PIECE_BYTES = 16384 };

static __always_inline void describe(struct sw_record *record, const struct who *who,
                                     const struct connection *connection, u8 flow)
{
    record->connection = connection->number;
    record->time_ns = bpf_ktime_get_boot_ns();
    record->position = 0;
    record->length = 0;
    record->captured = 0;
    record->generation = connection->generation;
    record->process = who->process >> 32;
    record->kind = SW_DATA;
    record->flow = flow;
    record->source = connection->source;
    record->role = connection->requester == SW_READ ? SW_SERVER : SW_CLIENT;
}

/* `size` is at most PIECE_BYTES. */
static __always_inline void write_record(const struct sw_record *record, u64 from, u64 size,
                                         u32 from_kernel)
{
    WRITE_RECORD_BY_CLASS
}

/* Passes on `size` bytes of user memory, of a call that goes on for `length` from there. */
static __always_inline void emit_piece(const struct who *who,
                                       const struct connection *connection, u8 flow,
                                       u64 position, u64 length, u64 from, u64 size)
{
    struct sw_record record;
    describe(&record, who, connection, flow);
    record.position = position;
    record.length = length;
    record.captured = size;
    write_record(&record, from, size, 0);
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
    describe(&slot->record, who, connection, SW_READ);
    slot->record.kind = SW_OPEN;
    slot->record.length = slot->record.captured = sizeof(struct sw_open);
    __builtin_memset(&slot->open, 0, sizeof slot->open);
    slot->open.process_start_ns = process_start_ns();
    slot->open.uid = bpf_get_current_uid_gid();
    slot->open.fd = connection->fd;
    slot->open.handle = connection->source == SW_SOCKET ? connection->sock : who->handle;
    if (connection->sock)
        name_ends(&slot->open, connection->sock);
    count(SW_COUNT_connections, 1);
    count(SW_COUNT_captured_records, 1);
    ring.ringbuf_submit(slot, wake_up(sizeof *slot));
}

static __always_inline void emit_close(const struct who *who,
                                       const struct connection *connection)
{
    struct {
        struct sw_record record;
        struct sw_close close;
    } *slot = ring.ringbuf_reserve(sizeof *slot);
    if (!slot) {
        count(SW_COUNT_lost_ring_full, sizeof(struct sw_close));
        return;
    }
    describe(&slot->record, who, connection, SW_READ);
    slot->record.kind = SW_CLOSE;
    slot->record.length = slot->record.captured = sizeof(struct sw_close);
    slot->close.end[SW_READ] = connection->position[SW_READ];
    slot->close.end[SW_WRITE] = connection->position[SW_WRITE];
    count(SW_COUNT_captured_records, 1);
    ring.ringbuf_submit(slot, wake_up(sizeof *slot));
}
