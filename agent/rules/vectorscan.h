/*
 * hs_scan without its variant for AVX-512, which in Vectorscan 5.4.9 misses matches that begin in
 * the last bytes of a text of more than 64.
 *
 * The library chooses a variant by the processor and exports each under a name of its own.  Where
 * that for AVX2 is there and can run, databases are compiled for AVX2 and scanned by it: it does
 * not know all engines of databases for AVX-512.
 */
#ifndef SW_VECTORSCAN_H
#define SW_VECTORSCAN_H

#include <hs/hs.h>

#if defined(__x86_64__)
extern hs_error_t avx2_hs_scan(const hs_database_t *database, const char *data,
                               unsigned int length, unsigned int flags, hs_scratch_t *scratch,
                               match_event_handler on_event, void *context)
    __attribute__((weak));

static inline int sw_by_avx2(void)
{
    return avx2_hs_scan && __builtin_cpu_supports("avx2");
}
#endif

/* What databases are compiled for; NULL: the processor at hand. */
static inline const hs_platform_info_t *sw_platform(void)
{
#if defined(__x86_64__)
    static const hs_platform_info_t avx2 = {HS_TUNE_FAMILY_GENERIC, HS_CPU_FEATURES_AVX2, 0, 0};
    if (sw_by_avx2())
        return &avx2;
#endif
    return 0;
}

static inline hs_error_t sw_hs_scan(const hs_database_t *database, const char *data,
                                    unsigned int length, unsigned int flags,
                                    hs_scratch_t *scratch, match_event_handler on_event,
                                    void *context)
{
#if defined(__x86_64__)
    if (sw_by_avx2())
        return avx2_hs_scan(database, data, length, flags, scratch, on_event, context);
#endif
    return hs_scan(database, data, length, flags, scratch, on_event, context);
}

#endif
