#ifndef ZPACS_PACK_RATE_H
#define ZPACS_PACK_RATE_H

#include <stdint.h>

/*
 * A token bucket: how long to wait so that a long copy leaves the disk to others. Knows no clock,
 * and does not sleep. {.bytes_per_second = 0} lets all pass.
 */
typedef struct {
    uint64_t bytes_per_second;
    int64_t free_at_ms; /* when all that was taken so far has been paid for */
} rate_t;

enum { RATE_BURST_MS = 250 }; /* what may be caught up on after a pause */

/* Takes bytes at now_ms (monotonic) and returns the milliseconds to wait before using them. */
int64_t rate_take(rate_t *rate, uint64_t bytes, int64_t now_ms);

#endif
