#ifndef ZPACS_WIRE_RESOLVER_H
#define ZPACS_WIRE_RESOLVER_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Inside common/wire only. Which addresses an endpoint stands for: those of each of its parts, which
 * are separated by commas. Names are asked anew every few seconds in a thread of its own: the system's resolver may take longer than any caller waits.
 */
enum { RESOLVER_ADDRESSES_MAX = 32, RESOLVER_ADDRESS_SIZE = 256, RESOLVER_INTERVAL_MS = 5000 };

typedef struct {
    char items[RESOLVER_ADDRESSES_MAX][RESOLVER_ADDRESS_SIZE]; /* "tcp://192.0.2.7:5555" */
    size_t count;
} resolver_list_t;

typedef struct resolver resolver_t;

bool resolver_list_holds(const resolver_list_t *list, const char *address);

/* ipc:// and numeric tcp:// parts stand for themselves. Fails: INVALID. */
status_t resolver_open(const char *endpoint, resolver_t **out_resolver);
void resolver_close(resolver_t **resolver); /* does not wait for a question under way */

/* Copies the newest list if there was another one since *version; false otherwise. */
bool resolver_take(resolver_t *resolver, unsigned *version, resolver_list_t *out_list);

#endif
