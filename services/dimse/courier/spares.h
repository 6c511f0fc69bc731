#ifndef ZPACS_DIMSE_SPARES_H
#define ZPACS_DIMSE_SPARES_H

#include "dimse/channel.h"

/*
 * Children that wait for an association: the zygote forks them ahead, so that a peer waits for no fork.
 * One is as good as another. For the courier's thread.
 */
enum { SPARES = 4 };

typedef struct {
    uint32_t number; /* by which the zygote knows it */
    int channel;     /* our end */
} spare_t;

typedef struct spares spares_t;

/* zygote: our end of its channel; borrowed. */
spares_t *spares_create(int zygote);
void spares_destroy(spares_t **spares); /* those that wait end */

/* Has as many forked as are missing. */
void spares_fill(spares_t *spares);

/*
 * Hands an association to one, with its descriptors; forks one if none waits. out_spare: which one, its
 * channel the caller's to close.
 *
 * Fails: UNAVAILABLE (no process; no channel).
 */
status_t spares_start(spares_t *spares, const channel_message_t *start, const int *fds,
                      size_t fd_count, spare_t *out_spare);

#endif
