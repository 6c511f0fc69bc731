#ifndef ZPACS_DIMSE_CHILD_PEER_H
#define ZPACS_DIMSE_CHILD_PEER_H

#include "dimse/association/child_state.h"

/* The peer's messages, and the answers. */

/* Waits for one; hears the courier meanwhile.
 * Fails: EXPIRED (nothing came; or this process shall end), NOT_FOUND (the courier is gone). */
status_t child_wait_for_peer(child_t *child);

/* Reads a command set, whose first fragment is there. Fails: the association is over. */
status_t child_read_command(child_t *child, const association_pdv_t *first, request_t *out_request);

/*
 * Reads the dataset of a request to its end; take (may be NULL) gets each fragment and is not
 * called again after it failed. out_taken is what take said.
 * Fails: as association_read(); the association is over.
 */
status_t child_read_dataset(child_t *child, const request_t *request,
                            status_t (*take)(void *context, const uint8_t *bytes, size_t length),
                            void *context, status_t *out_taken);

/* Sends the response without a dataset. comment may be NULL. */
status_t child_answer(child_t *child, const request_t *request, uint16_t status, uint32_t offending,
                      const char *comment);

#endif
