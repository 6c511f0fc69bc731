#include "wire/envelope.h"

#include "base/memory.h"
#include "wire/wire.h"

#include <stdlib.h>
#include <string.h>

/*
 * protobuf-c asks its allocator for every piece of a message. Two bytes on the wire (an empty
 * submessage) can ask for a hundred here, so each message has a budget. The memory is malloc's:
 * freeing needs no budget, and NULL as allocator frees it too.
 */
static void *budget_allocate(void *budget, size_t size)
{
    size_t *left = budget;
    if (size > *left)
        return NULL;
    *left -= size;
    return memory_allocate(size);
}

static void budget_free(void *budget, void *block)
{
    (void)budget;
    free(block);
}

status_t envelope_unpack(const ProtobufCMessageDescriptor *type, const void *bytes, size_t length,
                         ProtobufCMessage **out_message)
{
    size_t left = ENVELOPE_DECODED_MAX;
    ProtobufCAllocator allocator = {budget_allocate, budget_free, &left};
    ProtobufCMessage *message = protobuf_c_message_unpack(type, &allocator, length, bytes);
    if (!message)
        return fail(STATUS_INVALID, "malformed %s of %zu bytes", type->name, length);
    *out_message = message;
    return STATUS_OK;
}

status_t envelope_unpack_head(const void *bytes, size_t length, Wire__Envelope **out_envelope)
{
    ProtobufCMessage *message = NULL;
    TRY(envelope_unpack(&wire__envelope__descriptor, bytes, length, &message));
    Wire__Envelope *envelope = (Wire__Envelope *)message;
    if (strlen(envelope->type) > ENVELOPE_TYPE_MAX ||
        strlen(envelope->trace_id) > ENVELOPE_TRACE_MAX ||
        envelope->identity.len > ENVELOPE_IDENTITY_MAX) {
        protobuf_c_message_free_unpacked(message, NULL);
        return fail(STATUS_INVALID, "a text in the envelope is too long");
    }
    *out_envelope = envelope;
    return STATUS_OK;
}

status_t envelope_pack(const ProtobufCMessage *message, uint8_t **out_bytes, size_t *out_length)
{
    size_t length = protobuf_c_message_get_packed_size(message);
    if (length > WIRE_MESSAGE_MAX)
        return fail(STATUS_TOO_LARGE, "%s has %zu bytes, limit %d", message->descriptor->name,
                    length, WIRE_MESSAGE_MAX);
    uint8_t *bytes = memory_allocate(length);
    protobuf_c_message_pack(message, bytes);
    *out_bytes = bytes;
    *out_length = length;
    return STATUS_OK;
}
