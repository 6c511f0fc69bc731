#include "wire/auth.h"
#include "wire/envelope.h"
#include "wire/socket.h"
#include "wire/wire.h"

#include "base/memory.h"

#include <pthread.h>
#include <stdlib.h>

struct wire_publisher {
    pthread_mutex_t
        lock; /* the socket may be used by one thread at a time, if between them is this */
    zsock_t *socket;
    char *endpoint; /* as bound */
};

static status_t prepare(wire_publisher_t *publisher, const char *endpoint, const char *keys_folder,
                        const char *name)
{
    publisher->socket = zsock_new(ZMQ_PUB);
    if (!publisher->socket)
        return fail(STATUS_UNAVAILABLE, "no socket: %s", zmq_strerror(errno));
    socket_limit(publisher->socket, WIRE_BELLS_MAX);
    TRY(socket_guard(publisher->socket, keys_folder, name));
    return socket_bind(publisher->socket, endpoint, &publisher->endpoint);
}

status_t wire_publisher_open(const char *endpoint, const char *keys_folder, const char *name,
                             wire_publisher_t **out_publisher)
{
    auth_prepare_czmq();
    AUTO_FREE char *allowed = memory_format("%s/allowed", keys_folder);
    TRY(auth_open(allowed));
    wire_publisher_t *publisher = memory_allocate(sizeof *publisher);
    pthread_mutex_init(&publisher->lock, NULL);
    status_t status = prepare(publisher, endpoint, keys_folder, name);
    if (status != STATUS_OK)
        wire_publisher_close(&publisher);
    else
        *out_publisher = publisher;
    return status;
}

const char *wire_publisher_endpoint(const wire_publisher_t *publisher)
{
    return publisher->endpoint;
}

/* A subscriber whose queue is full loses the message inside libzmq. */
void wire_publisher_send(wire_publisher_t *publisher, const ProtobufCMessage *message)
{
    Wire__Envelope head = WIRE__ENVELOPE__INIT;
    head.type = (char *)(uintptr_t)message->descriptor->name;
    uint8_t *head_bytes = NULL, *body = NULL;
    size_t head_length = 0, body_length = 0;
    if (envelope_pack(message, &body, &body_length) == STATUS_OK &&
        envelope_pack(&head.base, &head_bytes, &head_length) == STATUS_OK) {
        void *handle = zsock_resolve(publisher->socket);
        pthread_mutex_lock(&publisher->lock);
        if (zmq_send(handle, head_bytes, head_length, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0)
            (void)zmq_send(handle, body, body_length, ZMQ_DONTWAIT);
        pthread_mutex_unlock(&publisher->lock);
    }
    free(head_bytes);
    free(body);
}

void wire_publisher_close(wire_publisher_t **publisher)
{
    wire_publisher_t *self = *publisher;
    if (!self)
        return;
    zsock_destroy(&self->socket);
    pthread_mutex_destroy(&self->lock);
    free(self->endpoint);
    free(self);
    auth_close();
    *publisher = NULL;
}
