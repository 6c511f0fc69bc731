#include "wire/monitor.h"

#include "base/memory.h"

#include <errno.h>
#include <stdatomic.h>

status_t monitor_open(zsock_t *socket, zsock_t **out_monitor)
{
    static atomic_uint opened; /* a name is free again only some time after its monitor is closed */
    AUTO_FREE char *name = memory_format("inproc://wire-monitor-%u", atomic_fetch_add(&opened, 1));
    if (zmq_socket_monitor(zsock_resolve(socket), name,
                           ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED))
        return fail(STATUS_UNAVAILABLE, "no monitor: %s", zmq_strerror(errno));
    zsock_t *monitor = zsock_new(ZMQ_PAIR);
    if (!monitor || zsock_connect(monitor, "%s", name)) {
        zsock_destroy(&monitor);
        return fail(STATUS_UNAVAILABLE, "no monitor: %s", zmq_strerror(errno));
    }
    *out_monitor = monitor;
    return STATUS_OK;
}

void monitor_close(zsock_t *socket, zsock_t **monitor)
{
    if (*monitor)
        zmq_socket_monitor(zsock_resolve(socket), NULL, 0);
    zsock_destroy(monitor);
}

/* An event is two frames: its number (16 bits) with a value (32 bits), and the address. */
bool monitor_take_lost(zsock_t *monitor, bool *is_connected)
{
    char frame[256];
    bool is_lost = false;
    int length = 0;
    while ((length = zmq_recv(zsock_resolve(monitor), frame, sizeof frame, ZMQ_DONTWAIT)) >= 0) {
        if (!zsock_rcvmore(monitor) || length < (int)sizeof(uint16_t))
            continue; /* the address */
        uint16_t event = 0;
        memcpy(&event, frame, sizeof event);
        bool is_up = event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
        is_lost |= *is_connected && !is_up;
        *is_connected = is_up;
    }
    return is_lost;
}
