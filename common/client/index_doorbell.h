#ifndef ZPACS_CLIENT_INDEX_DOORBELL_H
#define ZPACS_CLIENT_INDEX_DOORBELL_H

#include "base/status.h"
#include "index.pb-c.h"

/*
 * Hears when the change feed of the index has grown. Bells may be lost: the number in the next one
 * tells, and index_client_changes() has what was missed. For one thread.
 */
typedef struct index_doorbell index_doorbell_t;

/* endpoint: of all replicas, since any of them may be the one that numbers changes. */
status_t index_doorbell_open(const char *endpoint, const char *keys_folder, const char *caller_name,
                             index_doorbell_t **out_doorbell);
void index_doorbell_close(index_doorbell_t **doorbell);

/*
 * The newest bell that is there, or the next one; freed with index__changed__free_unpacked().
 * Fails: BUSY (none came in time), UNAVAILABLE (a connection broke: some may be lost).
 */
status_t index_doorbell_wait(index_doorbell_t *doorbell, int wait_ms, Index__Changed **out_changed);

#endif
