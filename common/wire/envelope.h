#ifndef ZPACS_WIRE_ENVELOPE_H
#define ZPACS_WIRE_ENVELOPE_H

#include "base/status.h"
#include "wire.pb-c.h"

#include <stddef.h>
#include <stdint.h>

/* Inside common/wire (and its fuzz target): bytes to messages and back, within limits. */
enum {
    ENVELOPE_DECODED_MAX = 16 * 1024 * 1024, /* memory that one message of 1 MiB may unfold to */
    ENVELOPE_TYPE_MAX = 128,
    ENVELOPE_TRACE_MAX = 64,
    ENVELOPE_IDENTITY_MAX = 1024
};

/*
 * Unpacks a message within the budget; freed with protobuf_c_message_free_unpacked(m, NULL).
 * Fails: INVALID (not this message, or it unfolds to more than the budget).
 */
status_t envelope_unpack(const ProtobufCMessageDescriptor *type, const void *bytes, size_t length,
                         ProtobufCMessage **out_message);

/* The same for an Envelope, and checks the lengths of its texts. */
status_t envelope_unpack_head(const void *bytes, size_t length, Wire__Envelope **out_envelope);

/* Packs; *out_bytes is freed with free(). Fails: TOO_LARGE (over WIRE_MESSAGE_MAX). */
status_t envelope_pack(const ProtobufCMessage *message, uint8_t **out_bytes, size_t *out_length);

#endif
