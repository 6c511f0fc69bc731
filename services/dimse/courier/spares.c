#include "dimse/courier/spares.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct spares {
    int zygote;
    uint32_t last_number;
    size_t count;
    spare_t waiting[SPARES]; /* the first has waited longest */
};

spares_t *spares_create(int zygote)
{
    spares_t *spares = memory_allocate(sizeof *spares);
    spares->zygote = zygote;
    return spares;
}

void spares_destroy(spares_t **spares)
{
    if (!*spares)
        return;
    for (size_t i = 0; i < (*spares)->count; i++)
        close((*spares)->waiting[i].channel);
    free(*spares);
    *spares = NULL;
}

/* Its channel is good at once: what is said there waits until the child is there. */
static status_t order(spares_t *spares)
{
    int ends[2];
    TRY(channel_make(ends));
    channel_message_t spawn = {.kind = CHANNEL_SPAWN, .child = ++spares->last_number};
    status_t status = channel_send(spares->zygote, &spawn, &ends[1], 1, true);
    close(ends[1]);
    if (status != STATUS_OK) {
        close(ends[0]);
        return status;
    }
    spares->waiting[spares->count++] = (spare_t){spawn.child, ends[0]};
    return STATUS_OK;
}

void spares_fill(spares_t *spares)
{
    while (spares->count < SPARES && order(spares) == STATUS_OK)
        ;
}

static spare_t take(spares_t *spares)
{
    spare_t first = spares->waiting[0];
    spares->count--;
    memmove(spares->waiting, spares->waiting + 1, spares->count * sizeof first);
    return first;
}

/* One that has died while it waited is passed over. */
status_t spares_start(spares_t *spares, const channel_message_t *start, const int *fds,
                      size_t fd_count, spare_t *out_spare)
{
    status_t status = STATUS_UNAVAILABLE;
    for (int tries = 0; tries <= SPARES; tries++) {
        if (spares->count == 0)
            TRY(order(spares));
        spare_t spare = take(spares);
        status = channel_send(spare.channel, start, fds, fd_count, false);
        if (status == STATUS_OK) {
            *out_spare = spare;
            return STATUS_OK;
        }
        close(spare.channel);
    }
    return status;
}
