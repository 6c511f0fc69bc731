#ifndef ZPACS_PACK_POOL_H
#define ZPACS_PACK_POOL_H

#include "pack/writer.h"

/*
 * The open packs of one process. A lease goes to one association or request; given back, an
 * un-full pack waits for the next lease of the same address, so that a series stays together.
 * Not for several threads at once: the owner locks.
 */
typedef struct pack_pool pack_pool_t;

/*
 * Takes over the packs in open/ that nobody holds (a dead process left them): recovers and seals
 * them. taken_over (may be NULL) is told each pack that holds records and its durable end, to have
 * it indexed; a durable end of 0 is an alarm: the pack could not be recovered (it is left in open/)
 * or has no valid header (it was moved to quarantine/).
 */
status_t pack_pool_open(const char *data_folder, pack_pool_t **out_pool,
                        void (*taken_over)(void *context, const ulid_t *pack, uint64_t durable),
                        void *context);

/*
 * Packs made from now on are sealed so long after they were made, however busy: by the next call
 * below that meets one, unless it is leased; then when it comes back (pack_writer_is_due()).
 * PACK_SEAL_OPEN_MS, if this is never called.
 */
void pack_pool_seal_after(pack_pool_t *pool, int64_t open_ms);

/* The pack that waits for this address, or a new one. */
status_t pack_pool_lease(pack_pool_t *pool, const char *address, pack_writer_t **out_writer);
status_t pack_pool_lease_new(pack_pool_t *pool, pack_writer_t **out_writer);

/* Fails: NOT_FOUND (none waits). out_since_ms tells since when it has waited, on the monotonic clock. */
status_t pack_pool_lease_waiting(pack_pool_t *pool, const char *address, pack_writer_t **out_writer,
                                 int64_t *out_since_ms);

/*
 * Gives back: what another process has written through the descriptor meanwhile is recovered, a
 * record in progress is cut off. Seals one that is due, or in which damage was found; closes a
 * dead one, which is to be taken over, unless it is empty. *writer becomes NULL.
 */
void pack_pool_return(pack_pool_t *pool, const char *address, pack_writer_t **writer);

/* Gives back a waiting pack to which nothing was written: it goes on waiting. *writer becomes NULL. */
void pack_pool_return_unused(pack_pool_t *pool, const char *address, pack_writer_t **writer,
                             int64_t since_ms);

/*
 * Gives back a pack of which a write or a sync has failed: it is not written to again. An empty
 * one is removed, another stays in open/ without its lock, to be taken over. *writer becomes NULL.
 */
void pack_pool_discard(pack_pool_t *pool, pack_writer_t **writer);

/* Calls visit for each pack that waits for a lease, with its durable end. */
void pack_pool_visit(const pack_pool_t *pool,
                     void (*visit)(void *context, const ulid_t *pack, uint64_t durable),
                     void *context);

/* Takes over what has been left in open/ since pack_pool_open, as that does. */
status_t pack_pool_sweep(pack_pool_t *pool,
                         void (*taken_over)(void *context, const ulid_t *pack, uint64_t durable),
                         void *context);

/* Seals what has been idle for PACK_SEAL_IDLE_MS, and what is due; call it every few seconds. */
void pack_pool_tick(pack_pool_t *pool);

/* Seals all and closes. */
void pack_pool_close(pack_pool_t **pool);

#endif
