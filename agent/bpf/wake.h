/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * A wake-up for each record would cost the watched program more than the record: the reader
 * looks by itself every few milliseconds, and is woken after each eighth of the ring.
 */
static __always_inline u64 wake_up(u64 size)
{
    u32 index = 0;
    u64 *unwoken = written_since_wake.lookup(&index);
    if (!unwoken)
        return BPF_RB_NO_WAKEUP;
    *unwoken += size;
    if (*unwoken < RING_PAGES * 4096ull / 8)
        return BPF_RB_NO_WAKEUP;
    *unwoken = 0;
    return BPF_RB_FORCE_WAKEUP;
}
