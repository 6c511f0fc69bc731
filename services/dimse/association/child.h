#ifndef ZPACS_DIMSE_CHILD_H
#define ZPACS_DIMSE_CHILD_H

#include "dimse/association/child_state.h"

/*
 * One association from its first byte to its last, in a process that no other has meanwhile. If all was in order, further
 * ones of the same address may follow, one after the other.
 *
 *     child.c          its beginning (sandbox, negotiation), its messages one by one, its end
 *     operations.c     which operation a message asks for: echo.c, store.c
 *     child_peer.c     what comes from the peer, and the answers
 *     child_courier.c  what comes from the courier, packs above all, and what it is told
 *
 * Waits for CHANNEL_START, which brings the association and its socket; without one it returns, too.
 * Returns the exit status of the process: 0 unless the sandbox fails. Owns the channel and what comes
 * over it, which end with the process.
 */
int child_main(const child_settings_t *settings, int channel);

#endif
