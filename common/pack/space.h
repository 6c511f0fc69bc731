#ifndef ZPACS_PACK_SPACE_H
#define ZPACS_PACK_SPACE_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Whether the volume of the packs has room for more instances. Two marks, so that it does not
 * flicker: with less than the low mark free it is full, until the high mark is free again.
 *
 *     free   high ──────────────╮               ╭── takes instances again
 *            low  ───────────────╲─── full ────╱
 *
 * A mark is in bytes, but at most a share of the volume. Safe for many threads.
 */
typedef struct pack_space pack_space_t;

enum {
    PACK_SPACE_LOW_PERCENT = 5,
    PACK_SPACE_HIGH_PERCENT = 7,
    PACK_SPACE_CACHE_MS = 1000 /* how old an answer may be */
};

typedef struct {
    uint64_t free_bytes; /* for who is not root */
    bool is_full;
    bool has_changed; /* is_full, since the last look; true for one caller only */
} pack_space_state_t;

/*
 * low_bytes, high_bytes  the marks; a low mark of 0: never full; a high mark below the low one
 *                        counts as that
 *
 * Fails: UNAVAILABLE (no such folder).
 */
status_t pack_space_open(const char *data_folder, uint64_t low_bytes, uint64_t high_bytes,
                         pack_space_t **out_space);
void pack_space_close(pack_space_t **space); /* NULL is fine */

/* Cheap: asks the file system once in PACK_SPACE_CACHE_MS. When that fails, all stays as it was. */
pack_space_state_t pack_space_look(pack_space_t *space);

/* What the marks say of a volume: the rule alone, for tests and for who has the figures. */
bool pack_space_is_full(uint64_t low_bytes, uint64_t high_bytes, uint64_t volume_bytes,
                        uint64_t free_bytes, bool was_full);

#endif
