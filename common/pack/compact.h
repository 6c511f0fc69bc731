#ifndef ZPACS_PACK_COMPACT_H
#define ZPACS_PACK_COMPACT_H

#include "pack/record.h"

#include <stdatomic.h>
#include <stdbool.h>

/*
 * Copies what still lives of sealed packs into one new pack, so that the old ones can go.
 *
 *     begin → copy (a pack, its live records) … → finish   the new pack is sealed and durable
 *                                               → cancel   as if nothing had been
 *
 * The index decides what lives, and does all of this, in this order:
 *
 *     1  copy, finish                       the records lie in two packs; both say the same origin
 *     2  one transaction: it reads the new pack like any other; a record whose origin it knows has
 *        moved there, one it does not know (deleted meanwhile) is dead; the old packs are retired
 *     3  a grace longer than any request: readers that were told the old place are still reading
 *     4  it checks once more that no row points to the old pack, and calls pack_store_unlink()
 *
 * A rebuild finds old and new pack, in any order: two records of one origin are the same record,
 * and the one that was read last says where it lies. Should that be the old pack, rows point to it,
 * step 4 leaves it alone, and it is compacted once more.
 *
 * Not for several threads at once.                                            docs/pack-format.md
 */
typedef struct pack_compact pack_compact_t;

typedef struct {
    uint64_t bytes_per_second; /* of datasets copied; 0: as fast as it goes */
    const atomic_bool *stop;   /* borrowed, may be NULL; once true, copying ends with EXPIRED */
    bool despite_damage;       /* also packs with bytes that are no record: they go with the pack */
} pack_compact_options_t;

typedef struct {
    ulid_t pack; /* "": there was nothing to copy, and there is no new pack */
    uint64_t records, dataset_bytes;
} pack_compacted_t;

/* Fails: UNAVAILABLE (no room, no permission, I/O error). */
status_t pack_compact_begin(const char *data_folder, const pack_compact_options_t *options,
                            pack_compact_t **out_compact);

/*
 * Copies the records at these offsets (ascending) of one sealed pack: type, provenance, dataset and
 * origin stay, place and sequence are new. Each is verified on the way. All of them, or none: then
 * the new pack is as before the call, and other packs may follow.
 *
 * Fails: INVALID (a record does not hold, or the pack has bytes that are no record; the sentence
 * names the offset: the old pack must stay), NOT_FOUND (no such sealed pack), EXPIRED (stopped),
 * UNAVAILABLE (disk; nothing further can be copied: cancel).
 */
status_t pack_compact_copy(pack_compact_t *compact, const ulid_t *pack, const uint64_t *offsets,
                           size_t count);

/* Whether it has the size of a full pack: finish it, and begin another one. */
bool pack_compact_is_full(const pack_compact_t *compact);

/*
 * Syncs and seals. *compact becomes NULL. Fails: UNAVAILABLE; then the old packs must stay, and the
 * new one is gone or, when only the last sync has failed, lies sealed: it holds copies, and does no
 * harm.
 */
status_t pack_compact_finish(pack_compact_t **compact, pack_compacted_t *out_done);

void pack_compact_cancel(pack_compact_t **compact); /* NULL is fine */

#endif
