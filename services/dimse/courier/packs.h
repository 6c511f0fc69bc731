#ifndef ZPACS_DIMSE_PACKS_H
#define ZPACS_DIMSE_PACKS_H

#include "dimse/courier/announcements.h"
#include "dimse/config.h"
#include "pack/writer.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The open packs: lent to children, taken back, and announced to the index as far as they are
 * durable. Owns the pool of packs. For the courier's thread.
 */
typedef struct packs packs_t;

/*
 * The pack that one child has. The child appends through a descriptor of its own; the writer stays
 * with us, to read what is there when the pack comes back. All zero but the borrowed texts: none.
 */
typedef struct {
    const char *association, *peer; /* borrowed: of whoever has it */
    pack_writer_t *writer;          /* NULL: it has none */
    uint64_t start;                 /* durable offset when it was lent */
    int64_t waited_since_ms;        /* of a pack that had waited; 0: it was new */
    uint64_t announced;             /* durable offset that the index is being told */
    bool has_failed;                /* a write or sync of it: nobody gets that pack again */
    bool is_recalled;               /* the child has been asked to give it back */
} lease_t;

/*
 * Takes over what dead processes left in open/; that is announced first.
 *
 * config, announcements  borrowed until packs_close()
 * Fails: UNAVAILABLE (data folder).
 */
status_t packs_open(const dimse_config_t *config, announcements_t *announcements,
                    packs_t **out_packs);
void packs_close(packs_t **packs); /* seals all; every lease must have been taken back */

/* A pack that waits for this peer, with records of earlier associations. Fails: NOT_FOUND. */
status_t packs_lend_waiting(packs_t *packs, lease_t *lease);

/* A new one. Fails: UNAVAILABLE. */
status_t packs_lend_new(packs_t *packs, lease_t *lease);

/* It has been open for long, and its child has not yet been asked for it. */
bool packs_is_overdue(const lease_t *lease);

/* ALIVE: it may keep the descriptor, so nobody else may be lent that pack. */
typedef enum { CHILD_ALIVE, CHILD_GONE } child_end_t;

/*
 * The pack's own bytes behind the lease's start decide what is durable, whatever the child said, or
 * could no longer say; where both agree the headers are enough. What lies before is known, and is not
 * read again. Without a pack: nothing.
 */
void packs_take_back(packs_t *packs, lease_t *lease, child_end_t end);

/*
 * Between two associations of a child that keeps its pack: looks it over as if it came back, and lets the
 * lease start anew where it ends. False: nobody is to go on with it.
 */
bool packs_settle(packs_t *packs, lease_t *lease);

/*
 * The child says that its pack is durable up to offset. That counts only for the pack it was handed,
 * and only within its file; false: an alarm was raised, and nothing else happens.
 */
bool packs_note_durable(packs_t *packs, lease_t *lease, uint64_t offset);

/* The child says that a write or sync has failed. */
void packs_note_failed(lease_t *lease, const char *why);

/*
 * A doorbell that was answered once may have to ring again: the database may have been dropped or
 * restored since, and a pack that is held is read only up to what its holder says.
 */
void packs_announce_again(packs_t *packs); /* those that wait in the pool */
void packs_announce_lease_again(packs_t *packs, const lease_t *lease);

/* Every few seconds: seals what has waited or been open for long. */
void packs_tick(packs_t *packs);

#endif
