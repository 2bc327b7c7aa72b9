/* One `struct sw_workspace` a thread, made at its first use and freed with the thread. */
#ifndef SOCKWARDEN_WORKSPACE_H
#define SOCKWARDEN_WORKSPACE_H

#include <isa-l/igzip_lib.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SW_SPARES = 5 };
enum { SW_SCRATCH_BYTES = 1 << 16, SW_SCRATCH_SLACK = 64, SW_LINE_BYTES = 64 };

struct sw_spare {
    uint8_t *data;
    size_t room;
};

struct sw_workspace {
    struct sw_spare spare[SW_SPARES]; /* buffers of finished messages, by size */
    struct inflate_state *inflater; /* of the message that was inflated last, or is now */
    struct inflate_state *idle_inflater;
    const void *inflated; /* whose it was: an Inflater, or NULL */
    /* Where a whole vector is stored, it lies in one cache line. */
    _Alignas(SW_LINE_BYTES) uint8_t packed[SW_SCRATCH_BYTES + SW_SCRATCH_SLACK];
    _Alignas(SW_LINE_BYTES) uint8_t scratch[SW_SCRATCH_BYTES + SW_SCRATCH_SLACK];
};

static pthread_key_t sw_workspace_key;
static _Thread_local struct sw_workspace *sw_workspace_here;

static void sw_workspace_free(void *workspace)
{
    struct sw_workspace *self = workspace;
    for (int i = 0; i < SW_SPARES; i++)
        free(self->spare[i].data);
    free(self->inflater);
    free(self->idle_inflater);
    free(self);
}

static int sw_workspace_setup(void)
{
    return pthread_key_create(&sw_workspace_key, sw_workspace_free);
}

static struct sw_workspace *sw_workspace_make(void)
{
    struct sw_workspace *made = aligned_alloc(SW_LINE_BYTES, sizeof *made);
    if (!made)
        return NULL;
    memset(made->spare, 0, sizeof made->spare);
    made->inflater = made->idle_inflater = NULL;
    made->inflated = NULL;
    if (pthread_setspecific(sw_workspace_key, made)) {
        free(made);
        return NULL;
    }
    return sw_workspace_here = made;
}

static inline struct sw_workspace *sw_workspace_get(void)
{
    return sw_workspace_here ? sw_workspace_here : sw_workspace_make();
}

#endif
