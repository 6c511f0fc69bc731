#ifndef ZPACS_WIRE_AUTH_H
#define ZPACS_WIRE_AUTH_H

#include "base/status.h"

/*
 * Inside common/wire only. CURVE without a running authenticator accepts any key, so a server
 * opens this before its first bind. There is one authenticator per process: servers share it and
 * with it the folder of allowed certificates.
 */
/* Before the first use of CZMQ: no signal handlers of its own, nothing on stdout. */
void auth_prepare_czmq(void);

status_t auth_open(const char *allowed_folder); /* Fails: INVALID (open with another folder) */
void auth_close(void);

#endif
