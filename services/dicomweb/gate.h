#ifndef ZPACS_DICOMWEB_GATE_H
#define ZPACS_DICOMWEB_GATE_H

#include "base/status.h"
#include "http/http.h"

#include <stdbool.h>

/*
 * The gate: only nginx, which has asked who it is, gets in. Also takes the id of the request.
 * context is the dicomweb_t. False: answered with 401.
 */
bool dicomweb_admit(void *context, http_request_t *request);

/* Caller frees. Fails: UNAVAILABLE (no such file), INVALID (too short). */
status_t gate_read_secret(const char *path, char **out_secret);

#endif
