#include "client/index_doorbell.h"

#include "base/memory.h"
#include "wire/wire.h"

#include <stdlib.h>

struct index_doorbell {
    wire_subscriber_t *subscriber;
};

status_t index_doorbell_open(const char *endpoint, const char *keys_folder, const char *caller_name,
                             index_doorbell_t **out_doorbell)
{
    wire_subscriber_t *subscriber = NULL;
    TRY(wire_subscriber_open(endpoint, keys_folder, caller_name, "index", &subscriber));
    index_doorbell_t *doorbell = memory_allocate(sizeof *doorbell);
    doorbell->subscriber = subscriber;
    *out_doorbell = doorbell;
    return STATUS_OK;
}

void index_doorbell_close(index_doorbell_t **doorbell)
{
    if (!*doorbell)
        return;
    wire_subscriber_close(&(*doorbell)->subscriber);
    free(*doorbell);
    *doorbell = NULL;
}

/* A queue of bells says no more than its last. */
status_t index_doorbell_wait(index_doorbell_t *doorbell, int wait_ms, Index__Changed **out_changed)
{
    ProtobufCMessage *newest = NULL, *message = NULL;
    status_t status =
        wire_subscriber_wait(doorbell->subscriber, &index__changed__descriptor, wait_ms, &newest);
    TRY(status);
    for (int i = 0; i < WIRE_BELLS_MAX && status == STATUS_OK; i++) {
        status =
            wire_subscriber_wait(doorbell->subscriber, &index__changed__descriptor, 0, &message);
        if (status != STATUS_OK)
            break;
        protobuf_c_message_free_unpacked(newest, NULL);
        newest = message;
    }
    if (status == STATUS_UNAVAILABLE) {
        protobuf_c_message_free_unpacked(newest, NULL);
        return status;
    }
    *out_changed = (Index__Changed *)newest;
    return STATUS_OK;
}
