#ifndef ZPACS_PACK_RESERVE_H
#define ZPACS_PACK_RESERVE_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Room set aside on the disk, as the file <data>/reserve: when a disk is full, it is given up so
 * that a deletion can still be noted, which is what makes room. One process holds it (flock).
 * A file system that compresses or shares blocks (ZFS, btrfs) may not set anything aside.
 */
typedef struct pack_reserve pack_reserve_t;

#define PACK_RESERVE_SIZE (UINT64_C(32) << 20)
enum { PACK_RESERVE_SHARE_MAX = 50 }; /* at most a 50th of the volume */

/*
 * Takes the reserve, and fills it if there is room: it being empty is no failure.
 * Fails: BUSY (another process holds it), UNAVAILABLE (no permission, I/O error).
 */
status_t pack_reserve_open(const char *data_folder, uint64_t size_bytes,
                           pack_reserve_t **out_reserve);

bool pack_reserve_is_filled(const pack_reserve_t *reserve);

/* Gives the room back to the disk: when it returns OK, it can be written to. An empty one is OK.
 * Fails: UNAVAILABLE. */
status_t pack_reserve_release(pack_reserve_t *reserve);

/*
 * Takes the room again, all of it or none; call it now and then. A filled one is OK.
 * Fails: BUSY (less than three times its size is free: a disk that is nearly full is left alone),
 * UNAVAILABLE.
 */
status_t pack_reserve_refill(pack_reserve_t *reserve);

/* Lets go; the file stays, filled or not, for the next process. NULL is fine. */
void pack_reserve_close(pack_reserve_t **reserve);

#endif
