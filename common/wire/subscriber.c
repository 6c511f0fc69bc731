#include "wire/auth.h"
#include "wire/envelope.h"
#include "wire/peers.h"
#include "wire/wire.h"

#include "base/clock.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { NOT_THERE_POLL_MS = 50 }; /* while the publisher's key or name is not there yet */

struct wire_subscriber {
    peers_t peers;
};

status_t wire_subscriber_open(const char *endpoint, const char *keys_folder, const char *name,
                              const char *publisher_name, wire_subscriber_t **out_subscriber)
{
    auth_prepare_czmq();
    wire_subscriber_t *subscriber = memory_allocate(sizeof *subscriber);
    status_t status =
        peers_open(&subscriber->peers, endpoint, keys_folder, name, publisher_name, ZMQ_SUB, -1);
    if (status != STATUS_OK)
        wire_subscriber_close(&subscriber);
    else
        *out_subscriber = subscriber;
    return status;
}

/* NULL: none is there; *out_message stays NULL for one that is not of the type. */
static bool receive(peer_t *peer, const ProtobufCMessageDescriptor *type,
                    ProtobufCMessage **out_message)
{
    zmq_msg_t body;
    Wire__Envelope *envelope = NULL;
    bool is_there = peer_receive(peer, &envelope, &body);
    if (envelope && strcmp(envelope->type, type->name) == 0)
        (void)envelope_unpack(type, zmq_msg_data(&body), zmq_msg_size(&body), out_message);
    wire__envelope__free_unpacked(envelope, NULL);
    zmq_msg_close(&body);
    return is_there;
}

static status_t take(wire_subscriber_t *subscriber, const ProtobufCMessageDescriptor *type,
                     ProtobufCMessage **out_message)
{
    ProtobufCMessage *message = NULL;
    bool is_lost = false;
    for (size_t i = 0; i < subscriber->peers.count; i++)
        is_lost |= peer_take_lost(subscriber->peers.items[i]);
    if (is_lost)
        return fail(STATUS_UNAVAILABLE, "a connection to %s broke", subscriber->peers.server_name);
    for (size_t i = 0; i < subscriber->peers.count; i++) {
        while (!message && receive(subscriber->peers.items[i], type, &message))
            continue;
        if (!message)
            continue;
        *out_message = message;
        return STATUS_OK;
    }
    return fail(STATUS_BUSY, "nothing came");
}

status_t wire_subscriber_wait(wire_subscriber_t *subscriber, const ProtobufCMessageDescriptor *type,
                              int wait_ms, ProtobufCMessage **out_message)
{
    int64_t until_ms = clock_monotonic_ms() + wait_ms;
    int64_t poll_ms = 0;
    for (;;) {
        peers_follow(&subscriber->peers);
        peers_poll(&subscriber->peers, poll_ms);
        status_t status = take(subscriber, type, out_message);
        int64_t left_ms = until_ms - clock_monotonic_ms();
        if (status != STATUS_BUSY || left_ms <= 0)
            return status;
        bool has_peers = subscriber->peers.count > 0;
        poll_ms = has_peers || left_ms < NOT_THERE_POLL_MS ? left_ms : NOT_THERE_POLL_MS;
    }
}

void wire_subscriber_close(wire_subscriber_t **subscriber)
{
    if (!*subscriber)
        return;
    peers_close(&(*subscriber)->peers);
    free(*subscriber);
    *subscriber = NULL;
}
