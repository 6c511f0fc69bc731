#ifndef ZPACS_DIMSE_CHILD_COURIER_H
#define ZPACS_DIMSE_CHILD_COURIER_H

#include "dimse/association/child_state.h"

/* How the process of an association talks with the courier, over its end of the channel. */

enum { CHILD_COURIER_MS = 30 * 1000 }; /* the courier's answer: some syncs away */

/*
 * Takes one message, waiting for it; out_kind tells which.
 * Fails: NOT_FOUND (the courier is gone), and what a pack that came failed with.
 */
status_t child_take_message(child_t *child, channel_kind_t *out_kind);

/*
 * A pack to write to: the one at hand unless it is full.
 * Fails: UNAVAILABLE (also: too little room on the disk, whatever is at hand); EXPIRED (the courier
 * is silent: what it may still send belongs to nobody, so the association must end).
 */
status_t child_need_pack(child_t *child);

/*
 * Tells the courier how far the pack is durable and that bytes came with it. Without wait what
 * finds the channel full is told when the peer pauses.
 */
void child_announce(child_t *child, uint64_t bytes, bool wait);

/*
 * The last words of an association after which this process is ready for another one. Waits for room, so that they are
 * heard before whatever the peer does next.
 */
void child_tell_rest(child_t *child, const char *text);

/* Tells the courier; never waits. */
void child_tell(child_t *child, channel_kind_t kind, uint32_t number, const char *text);

#endif
