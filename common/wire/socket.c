#include "wire/socket.h"

#include "wire/keys.h"
#include "wire/wire.h"

#include "base/memory.h"

#include <string.h>

#ifndef ZMQ_ZAP_ENFORCE_DOMAIN /* libzmq 4.3.4 has it, but only its draft header names it */
#define ZMQ_ZAP_ENFORCE_DOMAIN 93
#endif

void socket_limit(zsock_t *socket, int queue)
{
    zsock_set_maxmsgsize(socket, WIRE_MESSAGE_MAX);
    zsock_set_sndhwm(socket, queue);
    zsock_set_rcvhwm(socket, queue);
    zsock_set_linger(socket, 0);
    zsock_set_heartbeat_ivl(socket, WIRE_HEARTBEAT_MS);
    zsock_set_heartbeat_timeout(socket, WIRE_HEARTBEAT_TIMEOUT_MS);
    zsock_set_handshake_ivl(socket, WIRE_HANDSHAKE_MS);
}

status_t socket_guard(zsock_t *socket, const char *keys_folder, const char *name)
{
    zcert_t *pair = NULL;
    TRY(keys_load(keys_folder, name, true, &pair));
    zcert_apply(pair, socket);
    zcert_destroy(&pair);
    zsock_set_curve_server(socket, 1);
    zsock_set_zap_domain(socket, "zpacs");
    int on = 1; /* CZMQ 4.2.1's own setter has no effect */
    if (zmq_setsockopt(zsock_resolve(socket), ZMQ_ZAP_ENFORCE_DOMAIN, &on, sizeof on))
        return fail(STATUS_UNAVAILABLE, "libzmq does not enforce authentication");
    return STATUS_OK;
}

static status_t make_ipc_folder(const char *endpoint)
{
    static const char scheme[] = "ipc://";
    if (strncmp(endpoint, scheme, sizeof scheme - 1) != 0)
        return STATUS_OK;
    AUTO_FREE char *folder = memory_copy_text(endpoint + sizeof scheme - 1);
    char *slash = strrchr(folder, '/');
    if (!slash || slash == folder)
        return STATUS_OK;
    *slash = 0;
    return keys_make_folder(folder, true);
}

status_t socket_bind(zsock_t *socket, const char *endpoint, char **out_endpoint)
{
    TRY(make_ipc_folder(endpoint));
    if (zsock_bind(socket, "%s", endpoint) < 0)
        return fail(STATUS_UNAVAILABLE, "%s: %s", endpoint, zmq_strerror(errno));
    *out_endpoint = memory_copy_text(zsock_endpoint(socket));
    return STATUS_OK;
}
