/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Writes a record of up to BYTES bytes.  The ring is reserved by constant sizes only, so
 * compile.py makes one copy of this for each size class.
 */
static __always_inline void write_record_BYTES(const struct sw_record *header, u64 from,
                                               u64 size, u32 from_kernel)
{
    struct {
        struct sw_record record;
        u8 data[BYTES];
    } *slot = ring.ringbuf_reserve(sizeof(struct sw_record) + BYTES);
    if (!slot) {
        count(SW_COUNT_lost_ring_full, header->captured);
        return;
    }
    slot->record = *header;
    /* The verifier wants the bound on the very register that the copy uses. */
    asm volatile("" : "+r"(size));
    if (size > BYTES)
        size = BYTES;
    long failed = from_kernel ? bpf_probe_read_kernel(slot->data, size, (void *)from)
                              : bpf_probe_read_user(slot->data, size, (void *)from);
    if (failed) {
        count(SW_COUNT_lost_unreadable, header->captured);
        ring.ringbuf_discard(slot, BPF_RB_NO_WAKEUP);
        return;
    }
    count(SW_COUNT_captured_records, 1);
    count(SW_COUNT_captured_bytes, header->captured);
    ring.ringbuf_submit(slot, wake_up(sizeof *slot));
}
