#ifndef ZPACS_DICOMWEB_INDEX_ACCESS_H
#define ZPACS_DICOMWEB_INDEX_ACCESS_H

#include "dicomweb/context.h"

enum { DICOMWEB_INDEX_WAIT_MS = 15 * 1000 }; /* for a connection: as long as the index may take */

/*
 * A connection to the index for one question: give it back before the answer is written, since
 * whoever reads slowly would keep it from others. From any thread. Fails: UNAVAILABLE.
 */
status_t dicomweb_index_take(dicomweb_t *dicomweb, int wait_ms, index_client_t **out_client);
void dicomweb_index_give(dicomweb_t *dicomweb, index_client_t **client); /* NULL is fine */

/* A question to the index that got no answer in time means: no index now (503, not 504). */
status_t dicomweb_index_status(status_t status);

/* The index's figures; caller frees. Fails: UNAVAILABLE. */
status_t dicomweb_index_statistics(dicomweb_t *dicomweb, Index__Statistics **out_statistics);

/* Of the request that this thread serves: goes with its questions, and into the log. "" for none. */
void dicomweb_index_set_trace(const char *trace);
const char *dicomweb_index_trace(void);

#endif
