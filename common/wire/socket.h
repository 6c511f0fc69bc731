#ifndef ZPACS_WIRE_SOCKET_H
#define ZPACS_WIRE_SOCKET_H

#include "base/status.h"

#include <czmq.h>

/* Inside common/wire only: what all sockets of a link have in common. */

/* Sizes, heartbeats, no lingering; queue: messages that may wait in each direction. */
void socket_limit(zsock_t *socket, int queue);

/* Makes it the server of CURVE with the key pair of `name`: only who is in allowed/ gets through.
 * auth_open() comes first. Fails: UNAVAILABLE. */
status_t socket_guard(zsock_t *socket, const char *keys_folder, const char *name);

/* Binds; makes the folder of an ipc:// address. *out_endpoint: as bound, caller frees.
 * Fails: UNAVAILABLE. */
status_t socket_bind(zsock_t *socket, const char *endpoint, char **out_endpoint);

#endif
