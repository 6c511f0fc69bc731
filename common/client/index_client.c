#include "client/index_client.h"

#include "base/memory.h"
#include "wire/wire.h"

#include <stdlib.h>

/* How long each question may take; what waits for the disk or a long query waits longer. */
enum { FIND_MS = 30000, LOCATE_MS = 15000, DELETE_MS = 60000, SHORT_MS = 10000 };

struct index_client {
    wire_client_t *wire;
};

status_t index_client_open(const char *endpoint, const char *keys_folder, const char *caller_name,
                           index_client_t **out_client)
{
    wire_client_t *wire = NULL;
    TRY(wire_client_open(endpoint, keys_folder, caller_name, "index", &wire));
    index_client_t *client = memory_allocate(sizeof *client);
    client->wire = wire;
    *out_client = client;
    return STATUS_OK;
}

void index_client_close(index_client_t **client)
{
    if (!*client)
        return;
    wire_client_close(&(*client)->wire);
    free(*client);
    *client = NULL;
}

void index_client_set_trace(index_client_t *client, const char *trace_id)
{
    wire_client_set_trace(client->wire, trace_id);
}

/* The reply's type follows from the descriptor, which the decoder has checked. */
#define CALL(client, request, Reply, timeout_ms, out_reply)                                        \
    call((client), &(request)->base, &index__##Reply##__descriptor, (timeout_ms), (out_reply))

static status_t call(index_client_t *client, const ProtobufCMessage *request,
                     const ProtobufCMessageDescriptor *reply_type, int timeout_ms, void *out_reply)
{
    ProtobufCMessage *reply = NULL;
    TRY(wire_client_call(client->wire, request, reply_type, timeout_ms, &reply));
    *(void **)out_reply = reply;
    return STATUS_OK;
}

/*
 * A pack is read by one replica at a time, so all who tell of it tell the same one. FNV-1a over its
 * ULID, and never 0.
 */
static uint64_t affinity_of(const char *pack)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (; *pack; pack++)
        hash = (hash ^ (uint8_t)*pack) * UINT64_C(1099511628211);
    return hash | 1;
}

static Index__PackAppended pack_appended(const char *pack, uint64_t durable_offset,
                                         uint64_t outcomes_from)
{
    Index__PackAppended request = INDEX__PACK_APPENDED__INIT;
    request.pack = (char *)(uintptr_t)pack;
    request.durable_offset = durable_offset;
    request.outcomes_from = outcomes_from;
    return request;
}

status_t index_client_pack_appended(index_client_t *client, const char *pack,
                                    uint64_t durable_offset, uint64_t outcomes_from, int timeout_ms,
                                    Index__PackIndexed **out_reply)
{
    const Index__PackAppended request = pack_appended(pack, durable_offset, outcomes_from);
    wire_client_set_affinity(client->wire, affinity_of(pack));
    status_t status = CALL(client, &request, pack_indexed, timeout_ms, out_reply);
    wire_client_set_affinity(client->wire, 0);
    return status;
}

status_t index_client_find(index_client_t *client, const Index__Find *query,
                           Index__Found **out_reply)
{
    return CALL(client, query, found, FIND_MS, out_reply);
}

status_t index_client_locate(index_client_t *client, const Index__Locate *query,
                             Index__Located **out_reply)
{
    return CALL(client, query, located, LOCATE_MS, out_reply);
}

status_t index_client_delete(index_client_t *client, const Index__Delete *what,
                             Index__Deleted **out_reply)
{
    return CALL(client, what, deleted, DELETE_MS, out_reply);
}

status_t index_client_undelete(index_client_t *client, const Index__Undelete *what,
                               Index__Undeleted **out_reply)
{
    return CALL(client, what, undeleted, DELETE_MS, out_reply);
}

status_t index_client_hold(index_client_t *client, const Index__Hold *what)
{
    Index__Held *reply = NULL;
    TRY(CALL(client, what, held, DELETE_MS, &reply));
    index__held__free_unpacked(reply, NULL);
    return STATUS_OK;
}

status_t index_client_release(index_client_t *client, const Index__Release *what)
{
    Index__Released *reply = NULL;
    TRY(CALL(client, what, released, DELETE_MS, &reply));
    index__released__free_unpacked(reply, NULL);
    return STATUS_OK;
}

status_t index_client_get_hold(index_client_t *client, const Index__GetHold *query,
                               Index__HoldState **out_reply)
{
    return CALL(client, query, hold_state, SHORT_MS, out_reply);
}

status_t index_client_resolve(index_client_t *client, const Index__Resolve *what,
                              Index__Resolved **out_reply)
{
    return CALL(client, what, resolved, DELETE_MS, out_reply);
}

status_t index_client_changes(index_client_t *client, const Index__Changes *query,
                              Index__ChangeList **out_reply)
{
    return CALL(client, query, change_list, SHORT_MS, out_reply);
}

status_t index_client_statistics(index_client_t *client, Index__Statistics **out_reply)
{
    const Index__GetStatistics request = INDEX__GET_STATISTICS__INIT;
    return CALL(client, &request, statistics, SHORT_MS, out_reply);
}

status_t index_client_rebuild(index_client_t *client)
{
    const Index__Rebuild request = INDEX__REBUILD__INIT;
    Index__Rebuilding *reply = NULL;
    TRY(CALL(client, &request, rebuilding, SHORT_MS, &reply));
    index__rebuilding__free_unpacked(reply, NULL);
    return STATUS_OK;
}

status_t index_client_conflicts(index_client_t *client, uint32_t limit, const char *after,
                                Index__ConflictList **out_reply)
{
    Index__ListConflicts request = INDEX__LIST_CONFLICTS__INIT;
    request.limit = limit;
    request.after = (char *)(uintptr_t)after;
    return CALL(client, &request, conflict_list, SHORT_MS, out_reply);
}

status_t index_client_tell_pack_appended(index_client_t *client, const char *pack,
                                         uint64_t durable_offset, uint64_t *out_request_id)
{
    const Index__PackAppended request = pack_appended(pack, durable_offset, 0);
    wire_client_set_affinity(client->wire, affinity_of(pack));
    status_t status = wire_client_send(client->wire, &request.base,
                                       &index__pack_indexed__descriptor, out_request_id);
    wire_client_set_affinity(client->wire, 0);
    return status;
}

status_t index_client_take_pack_indexed(index_client_t *client, uint64_t *out_request_id,
                                        status_t *out_status, uint64_t *out_committed_offset)
{
    ProtobufCMessage *reply = NULL;
    TRY(wire_client_receive(client->wire, out_request_id, out_status, &reply));
    if (reply) {
        *out_committed_offset = ((Index__PackIndexed *)reply)->committed_offset;
        protobuf_c_message_free_unpacked(reply, NULL);
    }
    return STATUS_OK;
}

int index_client_fd(const index_client_t *client)
{
    return wire_client_fd(client->wire);
}
