#include "index/find/find.h"
#include "index/index.h"

#include "base/clock.h"
#include "base/memory.h"
#include "log/log.h"
#include "service/metrics.h"

#include <string.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    FULL_SCAN_MS = 60 * 1000, /* packs that were made and sealed between two looks at open/ */
    SWEEP_MS = 60 * 1000
};

static metric_t find_seconds = METRIC_HISTOGRAM("zpacs_index_find_seconds", "Time of a query.");
static metric_t locate_seconds =
    METRIC_HISTOGRAM("zpacs_index_locate_seconds", "Time of a question where bytes lie.");
static metric_t lag = METRIC_GAUGE("zpacs_index_lag_bytes",
                                   "In packs and not in the index, as last seen; what is being"
                                   " written counts.");

static metric_t database_up =
    METRIC_GAUGE("zpacs_index_database_up", "1 while the database can be read and written.");

/* A lane's own: reading lanes have a connection each. */
typedef struct {
    index_t *index;
    database_t *reader; /* NULL in lane 0 */
} lane_t;

/* ---- lane 0: writing --------------------------------------------------------------------------- */

static status_t writer_take(lane_t *lane, const wire_call_t *call)
{
    atomic_store(&lane->index->lane_alive_ms, clock_monotonic_ms());
    if (!index_lock(lane->index, call->deadline_ms))
        return fail(STATUS_BUSY, "the index is reading packs; what is durable will be found");
    return STATUS_OK;
}

/* Up to what is there: an offset behind the end is a lie or a lost file. */
static status_t durable_check(index_t *index, const ulid_t *pack, uint64_t *durable)
{
    int fd = -1;
    uint64_t size = 0;
    TRY(pack_store_file(index->store, pack, &fd, &size));
    close(fd);
    if (*durable > size) {
        log_error("pack.offset_beyond_end", LOG_TEXT("pack", pack->text),
                  LOG_NUMBER("offset", *durable), LOG_NUMBER("size_bytes", size));
        *durable = size;
    }
    return STATUS_OK;
}

static status_t appended(index_t *index, const Index__PackAppended *request,
                         Index__PackIndexed *reply)
{
    ulid_t pack = {0};
    uint64_t durable = request->durable_offset;
    if (!ulid_is_valid(request->pack))
        return fail(STATUS_INVALID, "a pack is named by a ULID");
    memcpy(pack.text, request->pack, sizeof pack.text);
    TRY(durable_check(index, &pack, &durable));
    status_t status = ingest_pack(index, &pack, durable, &reply->committed_offset);
    if (status != STATUS_OK || reply->committed_offset < durable)
        recover_announce(index, &pack, durable);
    TRY(status);
    if (reply->committed_offset < durable && atomic_load(&index->stopping))
        return fail(STATUS_UNAVAILABLE, "the index is stopping"); /* to be told again */
    if (request->outcomes_from)
        return ingest_outcomes(index, &pack, request->outcomes_from, reply->committed_offset,
                               reply);
    return STATUS_OK;
}

static status_t pack_appended(void *state, const wire_call_t *call, const ProtobufCMessage *request,
                              ProtobufCMessage *reply)
{
    lane_t *lane = state;
    TRY(writer_take(lane, call));
    status_t status =
        appended(lane->index, (const Index__PackAppended *)request, (Index__PackIndexed *)reply);
    index_unlock(lane->index);
    return status;
}

/* What changes rows by a decision, which a half-filled index must not take. */
static status_t decider_take(lane_t *lane, const wire_call_t *call)
{
    if (atomic_load(&lane->index->rebuilding))
        return fail(STATUS_UNAVAILABLE, "the index is being rebuilt");
    return writer_take(lane, call);
}

static status_t delete_(void *state, const wire_call_t *call, const ProtobufCMessage *request,
                        ProtobufCMessage *reply)
{
    lane_t *lane = state;
    TRY(decider_take(lane, call));
    status_t status = remove_run(lane->index, (const Index__Delete *)request,
                                 &((Index__Deleted *)reply)->instances);
    index_unlock(lane->index);
    return status;
}

static status_t undelete(void *state, const wire_call_t *call, const ProtobufCMessage *request,
                         ProtobufCMessage *reply)
{
    lane_t *lane = state;
    TRY(decider_take(lane, call));
    status_t status =
        undelete_run(lane->index, (const Index__Undelete *)request, (Index__Undeleted *)reply);
    index_unlock(lane->index);
    return status;
}

static status_t hold(void *state, const wire_call_t *call, const ProtobufCMessage *request,
                     ProtobufCMessage *reply)
{
    lane_t *lane = state;
    (void)reply;
    TRY(decider_take(lane, call));
    status_t status = hold_run(lane->index, (const Index__Hold *)request);
    index_unlock(lane->index);
    return status;
}

static status_t release(void *state, const wire_call_t *call, const ProtobufCMessage *request,
                        ProtobufCMessage *reply)
{
    lane_t *lane = state;
    (void)reply;
    TRY(decider_take(lane, call));
    status_t status = release_run(lane->index, (const Index__Release *)request);
    index_unlock(lane->index);
    return status;
}

static status_t resolve(void *state, const wire_call_t *call, const ProtobufCMessage *request,
                        ProtobufCMessage *reply)
{
    lane_t *lane = state;
    TRY(decider_take(lane, call));
    status_t status =
        resolve_run(lane->index, (const Index__Resolve *)request, (Index__Resolved *)reply);
    index_unlock(lane->index);
    return status;
}

static status_t rebuild(void *state, const wire_call_t *call, const ProtobufCMessage *request,
                        ProtobufCMessage *reply)
{
    lane_t *lane = state;
    (void)request, (void)reply;
    TRY(writer_take(lane, call));
    status_t status = rebuild_start(lane->index);
    index_unlock(lane->index);
    return status;
}

/* ---- lane 1: reading --------------------------------------------------------------------------- */

/* A half-filled index would answer wrongly, and "not there" would be believed. */
static status_t reader_take(lane_t *lane, const wire_call_t *call)
{
    if (atomic_load(&lane->index->rebuilding))
        return fail(STATUS_UNAVAILABLE, "the index is being rebuilt");
    if (!lane->reader)
        TRY(database_open(lane->index->location, true, &lane->reader));
    database_set_deadline(lane->reader, call->deadline_ms);
    return STATUS_OK;
}

static status_t find(void *state, const wire_call_t *call, const ProtobufCMessage *request,
                     ProtobufCMessage *reply)
{
    lane_t *lane = state;
    int64_t begin_us = clock_wall_us();
    TRY(reader_take(lane, call));
    status_t status = find_run(lane->reader, (const Index__Find *)request, (Index__Found *)reply);
    metric_observe_us(&find_seconds, clock_wall_us() - begin_us);
    return status;
}

static status_t locate(void *state, const wire_call_t *call, const ProtobufCMessage *request,
                       ProtobufCMessage *reply)
{
    lane_t *lane = state;
    int64_t begin_us = clock_wall_us();
    TRY(reader_take(lane, call));
    status_t status =
        locate_run(lane->reader, (const Index__Locate *)request, (Index__Located *)reply);
    metric_observe_us(&locate_seconds, clock_wall_us() - begin_us);
    return status;
}

static status_t changes(void *state, const wire_call_t *call, const ProtobufCMessage *request,
                        ProtobufCMessage *reply)
{
    lane_t *lane = state;
    TRY(reader_take(lane, call));
    return changes_list(lane->reader, (const Index__Changes *)request, (Index__ChangeList *)reply);
}

static status_t conflicts(void *state, const wire_call_t *call, const ProtobufCMessage *request,
                          ProtobufCMessage *reply)
{
    lane_t *lane = state;
    TRY(reader_take(lane, call));
    return conflicts_list(lane->reader, (const Index__ListConflicts *)request,
                          (Index__ConflictList *)reply);
}

static status_t get_hold(void *state, const wire_call_t *call, const ProtobufCMessage *request,
                         ProtobufCMessage *reply)
{
    lane_t *lane = state;
    TRY(reader_take(lane, call));
    return hold_read(lane->reader, (const Index__GetHold *)request, (Index__HoldState *)reply);
}

/* Also during a rebuild: that is how its progress is seen. */
static status_t statistics(void *state, const wire_call_t *call, const ProtobufCMessage *request,
                           ProtobufCMessage *reply)
{
    lane_t *lane = state;
    (void)request;
    if (!lane->reader)
        TRY(database_open(lane->index->location, true, &lane->reader));
    database_set_deadline(lane->reader, call->deadline_ms);
    return statistics_read(lane->index, lane->reader, (Index__Statistics *)reply);
}

/* ---- the table --------------------------------------------------------------------------------- */

const wire_route_t index_routes[] = {
    /* request, reply, handler, lane, who may ask */
    WIRE_ROUTE(index, pack_appended, pack_indexed, pack_appended, 0, "dimse dicomweb cli"),
    WIRE_ROUTE(index, delete, deleted, delete_, 0, "dicomweb cli"),
    WIRE_ROUTE(index, undelete, undeleted, undelete, 0, "dicomweb cli"),
    WIRE_ROUTE(index, hold, held, hold, 0, "dicomweb cli"),
    WIRE_ROUTE(index, release, released, release, 0, "dicomweb cli"),
    WIRE_ROUTE(index, get_hold, hold_state, get_hold, 1, "dicomweb cli"),
    WIRE_ROUTE(index, resolve, resolved, resolve, 0, "dicomweb cli"),
    WIRE_ROUTE(index, rebuild, rebuilding, rebuild, 0, "cli"),
    WIRE_ROUTE(index, find, found, find, 1, "dimse dicomweb cli"),
    WIRE_ROUTE(index, locate, located, locate, 1, "dimse dicomweb cli"),
    WIRE_ROUTE(index, changes, change_list, changes, 1, "dicomweb cli"),
    WIRE_ROUTE(index, get_statistics, statistics, statistics, 1, "dicomweb cli"),
    WIRE_ROUTE(index, list_conflicts, conflict_list, conflicts, 1, "dicomweb cli"),
    WIRE_ROUTES_END};

void *index_lane_open(void *context, int lane)
{
    lane_t *state = memory_allocate(sizeof *state);
    state->index = context;
    if (lane != 0 && database_open(state->index->location, true, &state->reader) != STATUS_OK)
        log_error("reader.unavailable", LOG_TEXT("reason", fail_detail()));
    else if (lane != 0)
        locate_warm(state->reader);
    return state;
}

void index_lane_close(void *context, int lane, void *state)
{
    (void)context, (void)lane;
    database_close(&((lane_t *)state)->reader);
    free(state);
}

/* Work of every second: the gap, studies that are complete, idle packs. */
static status_t idle_work(index_t *index, int64_t now_ms)
{
    uint64_t session = database_session(index->writer); /* a new one may have forgotten the end */
    bool full = now_ms >= index->next_full_scan_ms || index->session != session;
    index->session = session;
    pack_store_tick(index->store);
    if (full)
        index->next_full_scan_ms = now_ms + FULL_SCAN_MS;
    pack_pool_tick(index->pool);
    if (now_ms >= index->next_sweep_ms) {
        index->next_sweep_ms = now_ms + SWEEP_MS;
        reserve_tend(index);
        TRY(pack_pool_sweep(index->pool, index_taken_over, index));
    }
    if (atomic_load(&index->replay_runs)) /* that thread reads all packs */
        return STATUS_OK;
    TRY(rebuild_follow(index));
    status_t status = recover_scan(index, full || atomic_load(&index->rebuilding));
    if (status == STATUS_BUSY) /* another replica reads some pack: it is looked at again */
        return STATUS_OK;
    TRY(status);
    if (atomic_load(&index->rebuilding))
        TRY(rebuild_finish(index));
    TRY(changes_tend(&index->rows, index->config->stable_seconds * 1000000));
    index_ring(index);
    return STATUS_OK;
}

void index_lane_idle(void *context, int lane, void *state)
{
    index_t *index = context;
    int64_t now_ms = clock_monotonic_ms();
    (void)lane, (void)state;
    atomic_store(&index->lane_alive_ms, now_ms);
    metric_set(&lag, atomic_load(&index->lag_bytes));
    if (!index_lock(index, now_ms + 100))
        return;
    status_t status = idle_work(index, now_ms);
    index_unlock(index);
    atomic_store(&index->database_ok, status == STATUS_OK);
    metric_set(&database_up, status == STATUS_OK);
    if (status != STATUS_OK)
        log_error("scan.failed", LOG_TEXT("status", status_name(status)),
                  LOG_TEXT("reason", fail_detail()));
}
