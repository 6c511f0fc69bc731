#ifndef ZPACS_DICOMWEB_INDEX_POOL_H
#define ZPACS_DICOMWEB_INDEX_POOL_H

#include "client/index_client.h"

#include <stddef.h>

/*
 * The connections to the index: a bounded number, made when needed, kept warm. Each serves one
 * thread for the length of one question, so few of them are enough for many requests.
 */
typedef struct index_pool index_pool_t;

/* At most max connections, at least one. */
index_pool_t *index_pool_create(const char *endpoint, const char *keys_folder, size_t max);
void index_pool_destroy(index_pool_t **pool); /* all must have been given back */

/*
 * Takes a connection, waiting until one is free.
 * Fails: UNAVAILABLE (none became free in wait_ms, or it cannot be made).
 */
status_t index_pool_take(index_pool_t *pool, int wait_ms, index_client_t **out_client);
void index_pool_give(index_pool_t *pool, index_client_t **client); /* becomes NULL; NULL is fine */

#endif
