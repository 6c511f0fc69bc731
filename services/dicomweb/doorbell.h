#ifndef ZPACS_DICOMWEB_DOORBELL_H
#define ZPACS_DICOMWEB_DOORBELL_H

#include "dicomweb/context.h"

/*
 * Follows the change feed of the index in a thread of its own, and forgets what has changed. As long
 * as that works, locations may be kept for longer.
 */
typedef struct doorbell doorbell_t;

/* *out_doorbell stays NULL without an address. Fails: INVALID (address). */
status_t doorbell_start(dicomweb_t *dicomweb, doorbell_t **out_doorbell);
void doorbell_stop(doorbell_t **doorbell);

#endif
