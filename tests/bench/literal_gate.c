/* Vectorscan's literal matcher over messages, for rules.py: processor time of one thread. */
#include <hs/hs.h>
#include <time.h>

static int on_match(unsigned int id, unsigned long long start, unsigned long long end,
                    unsigned int flags, void *context)
{
    ++*(unsigned long long *)context;
    return 0;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Seconds for one pass, or below 0 where the literals do not compile. */
double scan(const char *const *literals, const size_t *sizes, const unsigned *flags,
            const unsigned *ids, unsigned count, const char *const *messages,
            const size_t *message_sizes, size_t message_count, int passes)
{
    hs_database_t *database = 0;
    hs_compile_error_t *error = 0;
    hs_scratch_t *scratch = 0;
    unsigned long long matches = 0;
    double best = -1;
    if (hs_compile_lit_multi(literals, flags, ids, sizes, count, HS_MODE_BLOCK, 0, &database,
                             &error) != HS_SUCCESS ||
        hs_alloc_scratch(database, &scratch) != HS_SUCCESS)
        return -1;
    for (int pass = 0; pass < passes; pass++) {
        const double began = seconds();
        for (size_t i = 0; i < message_count; i++)
            hs_scan(database, messages[i], (unsigned)message_sizes[i], 0, scratch, on_match,
                    &matches);
        const double took = seconds() - began;
        if (best < 0 || took < best)
            best = took;
    }
    hs_free_scratch(scratch);
    hs_free_database(database);
    return best;
}
