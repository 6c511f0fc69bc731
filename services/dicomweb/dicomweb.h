#ifndef ZPACS_DICOMWEB_DICOMWEB_H
#define ZPACS_DICOMWEB_DICOMWEB_H

#include "dicomweb/context.h"
#include "dicomweb/gate.h"
#include "dicomweb/handlers.h"
#include "dicomweb/store/packs.h"

/*
 * The top of this service: creates all parts, and destroys them. For main.c and tests; no other file
 * includes it.
 *
 * config  borrowed until the end
 * Fails: INVALID (gate secret, an address), UNAVAILABLE (data folder).
 */
status_t dicomweb_open(const dicomweb_config_t *config, dicomweb_t **out_dicomweb);
void dicomweb_close(dicomweb_t **dicomweb);

#endif
