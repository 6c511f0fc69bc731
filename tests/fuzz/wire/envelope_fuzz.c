#include "wire/envelope.h"

#include "index.pb-c.h"
#include "pack.pb-c.h"
#include "wire.pb-c.h"

#include <stdlib.h>
#include <string.h>

/*
 * The first byte chooses the message, the rest is its bytes as a peer may send them. What unpacks
 * must pack again within its own size, and unpacked once more it must pack to the same bytes.
 * The table has every message of proto/ (scripts/lint looks); the order is the corpus'.
 */
static const ProtobufCMessageDescriptor *const types[] = {
    &wire__envelope__descriptor,       &index__pack_appended__descriptor,
    &index__pack_indexed__descriptor,  &index__find__descriptor,
    &index__found__descriptor,         &index__locate__descriptor,
    &index__located__descriptor,       &index__delete__descriptor,
    &index__deleted__descriptor,       &index__changes__descriptor,
    &index__change_list__descriptor,   &index__get_statistics__descriptor,
    &index__statistics__descriptor,    &index__rebuild__descriptor,
    &index__rebuilding__descriptor,    &index__list_conflicts__descriptor,
    &index__conflict_list__descriptor, &pack__provenance__descriptor,
    &pack__tombstone__descriptor,      &pack__resolve__descriptor,
    &index__scope__descriptor,         &index__outcome__descriptor,
    &index__term__descriptor,          &index__match__descriptor,
    &index__location__descriptor,      &index__undelete__descriptor,
    &index__undeleted__descriptor,     &index__hold__descriptor,
    &index__held__descriptor,          &index__release__descriptor,
    &index__released__descriptor,      &index__get_hold__descriptor,
    &index__hold_state__descriptor,    &index__change__descriptor,
    &index__changed__descriptor,       &index__source_seen__descriptor,
    &index__conflict__descriptor,      &index__resolve__descriptor,
    &index__resolved__descriptor,      &pack__origin__descriptor,
    &pack__restore__descriptor,        &pack__hold__descriptor,
};
enum { TYPES = sizeof types / sizeof *types };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(const ProtobufCMessageDescriptor *type,
                             const ProtobufCMessage *message)
{
    uint8_t *first = NULL, *second = NULL;
    size_t first_length = 0, second_length = 0;
    ProtobufCMessage *again = NULL;
    if (envelope_pack(message, &first, &first_length) != STATUS_OK)
        return; /* grew over the limit */
    /* protobuf-c takes a field number 0 in two bytes but not in one, as it then packs it */
    if (envelope_unpack(type, first, first_length, &again) == STATUS_OK) {
        if (envelope_pack(again, &second, &second_length) != STATUS_OK ||
            first_length != second_length || memcmp(first, second, first_length) != 0)
            abort();
        protobuf_c_message_free_unpacked(again, NULL);
    }
    free(first);
    free(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const ProtobufCMessageDescriptor *type = types[data[0] % TYPES];
    ProtobufCMessage *message = NULL;
    if (envelope_unpack(type, data + 1, size - 1, &message) == STATUS_OK) {
        check_round_trip(type, message);
        protobuf_c_message_free_unpacked(message, NULL);
    }
    Wire__Envelope *head = NULL;
    if (envelope_unpack_head(data + 1, size - 1, &head) == STATUS_OK)
        wire__envelope__free_unpacked(head, NULL);
    return 0;
}
