#ifndef ZPACS_DIMSE_ANNOUNCEMENTS_H
#define ZPACS_DIMSE_ANNOUNCEMENTS_H

#include "base/ulid.h"
#include "client/index_client.h"

#include <stddef.h>
#include <stdint.h>

/*
 * What the index is still to be told: for each pack its newest durable offset only, and only the
 * answer to the last request about it counts; without one it is told again after a second. An
 * announcement is a doorbell, so one that does not fit is dropped: the index finds the pack by
 * itself. For one thread.
 */
enum { ANNOUNCEMENTS_MAX = 4096 };

typedef struct announcements announcements_t;

announcements_t *announcements_create(void);
void announcements_destroy(announcements_t **announcements);

void announcements_put(announcements_t *announcements, const ulid_t *pack, uint64_t durable_offset);
size_t announcements_count(const announcements_t *announcements);

/* Milliseconds until something is due, if nobody answers before; at most most_ms. */
int announcements_wait_ms(const announcements_t *announcements, int most_ms);

/* Takes the replies that are there, then sends what is due. */
void announcements_exchange(announcements_t *announcements, index_client_t *client);

#endif
