#ifndef ZPACS_PACK_WRITER_H
#define ZPACS_PACK_WRITER_H

#include "pack/record.h"
#include "pack.pb-c.h"

#include <stdbool.h>

/*
 * The one writer of an open pack.                                             DESIGN: promise P1
 *
 *     pack_writer_begin → pack_writer_append … → pack_writer_commit   the record is durable
 *                                              → pack_writer_abort    the pack is as before
 *
 * The lock (flock on the open file description) is held from create to close, also by a process
 * that got the descriptor over a socket. After a failed commit the writer is dead: every further
 * call fails with UNAVAILABLE, nothing is retried, the owner closes it and ends.
 */
typedef struct pack_writer pack_writer_t;

/*
 * Makes <data>/packs/open/<ulid>.pack with its header, synced with its folder, and locks it.
 * Fails: UNAVAILABLE (no room, no permission, I/O error).
 */
status_t pack_writer_create(const char *data_folder, pack_writer_t **out_writer);

/* Takes an existing open pack of this data folder that nobody holds: locks, recovers, goes on at
 * its end. Fails: BUSY (locked), NOT_FOUND, INVALID (not a pack: it was moved to quarantine). */
status_t pack_writer_open(const char *data_folder, const ulid_t *pack, pack_writer_t **out_writer);

/* Where a pack ends that is at rest. */
typedef struct {
    uint64_t durable_offset, sequence; /* end and number of its last record; 0: it has none */
} pack_end_t;

/* Goes on with a descriptor that came from its owner (already locked and recovered), who says where it
 * ends: no file names are touched, no record is read. The writer owns fd. Fails: INVALID (it ends elsewhere). */
status_t pack_writer_adopt(int fd, const pack_end_t *end, pack_writer_t **out_writer);

/*
 * Takes note of what another process has written through the same descriptor (it adopted it, and
 * is gone): recovers from the durable offset on. told (0: nothing) is the offset up to which that process
 * says it has synced: if the file ends there, and whole headers lead there, no more is read and nothing is
 * synced again. out_quarantined (may be NULL) is told the number of damaged ranges.
 * Fails: UNAVAILABLE, INVALID; then the writer is dead.
 */
status_t pack_writer_refresh(const char *data_folder, pack_writer_t *writer, uint64_t told,
                             uint64_t *out_quarantined);

int pack_writer_fd(const pack_writer_t *writer); /* borrowed, to be passed on */
ulid_t pack_writer_pack(const pack_writer_t *writer);
uint64_t pack_writer_durable_offset(const pack_writer_t *writer); /* end of the last commit */
pack_end_t pack_writer_end(const pack_writer_t *writer);          /* of one that is idle */
bool pack_writer_is_full(const pack_writer_t *writer);            /* no further record is to come */
bool pack_writer_is_dead(const pack_writer_t *writer);            /* a write or a sync has failed */

/*
 * A pack is to be sealed when it is full or has been open for long: what is deleted in it goes no
 * sooner. Only who made it knows the time (monotonic); an adopted one is due when it is full.
 */
void pack_writer_set_due(pack_writer_t *writer, int64_t due_ms);
bool pack_writer_is_due(const pack_writer_t *writer); /* asks no kernel: fit for each record */

/*
 * Starts a record. provenance_room: bytes to keep free for the provenance that commit brings; more
 * than enough is fine, too little makes commit fail. At most PACK_PROVENANCE_MAX.
 */
status_t pack_writer_begin(pack_writer_t *writer, pack_record_type_t type, size_t provenance_room);

/* Appends bytes of the dataset; they are hashed on the way. Fails: UNAVAILABLE (disk: the writer is
 * dead), TOO_LARGE (over PACK_DATASET_MAX; then abort). */
status_t pack_writer_append(pack_writer_t *writer, const void *bytes, size_t length);

/*
 * A read-only view of the dataset of the record in progress, so that it can be scanned without
 * a copy in memory; valid until the next call on this writer.
 */
status_t pack_writer_view(pack_writer_t *writer, const uint8_t **out_bytes, size_t *out_length);

/*
 * Writes the header and syncs: when it returns OK the record is on stable storage.
 *
 * record      in: transfer_syntax_uid, pixel_*; (for a copied record: origin_*, else zero)
 *             out: everything
 * provenance  packed message (Pack__Provenance, Pack__Tombstone ...)
 */
status_t pack_writer_commit(pack_writer_t *writer, const void *provenance, size_t provenance_length,
                            pack_record_t *record);

/* Forgets the record in progress; the file is cut back to the last commit. */
status_t pack_writer_abort(pack_writer_t *writer);

/* Between two records: no byte of those before is left in memory. */
void pack_writer_forget(pack_writer_t *writer);

/* Closes and unlocks; a record in progress is aborted. The pack stays in open/. */
void pack_writer_close(pack_writer_t **writer);

/*
 * Seals: renames into packs/YYYY/MM/DD/ (UTC day of the ULID's time), syncs file, both folders and
 * each newly made parent; closes the writer. An empty pack (no record) is unlinked instead. A dead
 * writer's pack is not sealed.
 */
status_t pack_writer_seal(const char *data_folder, pack_writer_t **writer);

#endif
