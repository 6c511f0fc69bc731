#ifndef ZPACS_WIRE_MONITOR_H
#define ZPACS_WIRE_MONITOR_H

#include "base/status.h"

#include <czmq.h>
#include <stdbool.h>

/*
 * Inside common/wire only. Tells when a connection of a socket is lost, so that a caller hears at
 * once that its server died instead of waiting for the deadline. Lost also means silent: the
 * heartbeat closes a connection whose peer hangs.
 */
status_t monitor_open(zsock_t *socket, zsock_t **out_monitor);
void monitor_close(zsock_t *socket, zsock_t **monitor); /* before the socket itself */

/*
 * Takes all events; true if a connection was lost. *is_connected follows them: a connection stands
 * (of several: the last event was of one that came up). After a loss the socket may take messages
 * for the dead connection a moment longer, so a sender looks here too.
 */
bool monitor_take_lost(zsock_t *monitor, bool *is_connected);

#endif
