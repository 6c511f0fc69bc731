#ifndef ZPACS_DICOMWEB_STORE_PACKS_H
#define ZPACS_DICOMWEB_STORE_PACKS_H

#include "dicomweb/context.h"

/*
 * The open packs of STOW-RS, in dicomweb->packs. A request leases one pack at a time, and writes it
 * alone.
 *
 * open   also takes over what a dead process left in open/
 * tick   about every second, in the main thread: tells the index what it has not answered for
 * close  seals all; every lease must have been returned
 */
status_t dicomweb_packs_open(dicomweb_t *dicomweb);
void dicomweb_packs_tick(dicomweb_t *dicomweb);
void dicomweb_packs_close(dicomweb_t *dicomweb);

/* From any thread; the writer is the caller's until it is returned (NULL is fine). */
status_t store_lease(dicomweb_t *dicomweb, pack_writer_t **out_writer);
void store_return(dicomweb_t *dicomweb, pack_writer_t **writer);

/* From any thread: the index has not answered for this pack up to durable: to be told until it does. */
void store_tell_later(const ulid_t *pack, uint64_t durable);

#endif
