#include "index/find/find.h"
#include "index/index.h"

#include "base/clock.h"
#include "base/memory.h"
#include "log/log.h"
#include "pack.pb-c.h"

#include <stdlib.h>
#include <string.h>

enum {
    NAMED_MAX = 2048, /* packs in one TOMBSTONE: below PACK_PROVENANCE_MAX */
    TEXT_MAX = 1024
};

/* What a deletion takes: how many are served, the latest time any of their records came, and of
 * each pack the last record. */
typedef struct {
    uint64_t instances;
    int64_t received_up_to_us;
    Pack__Origin *named;
    size_t count, capacity;
} extent_t;

static void extent_destroy(extent_t *extent)
{
    for (size_t i = 0; i < extent->count; i++)
        free(extent->named[i].pack);
    free(extent->named);
}

static void extent_add(extent_t *extent, statement_t *find)
{
    if (extent->count == extent->capacity) {
        extent->capacity = extent->capacity ? 2 * extent->capacity : 16;
        extent->named = memory_resize(extent->named, extent->capacity * sizeof *extent->named);
    }
    Pack__Origin *origin = &extent->named[extent->count++];
    pack__origin__init(origin);
    origin->pack = memory_copy_text(statement_text(find, 0));
    origin->sequence = (uint64_t)statement_int64(find, 1);
    extent->instances += (uint64_t)statement_int64(find, 3);
    if (extent->received_up_to_us < statement_int64(find, 2))
        extent->received_up_to_us = statement_int64(find, 2);
}

/* The copies go with it, or a rebuild would bring one of them back. */
static const char extent_sql[] =
    "SELECT origin_pack, MAX(origin_sequence), MAX(received_us), SUM(served) FROM ("
    "SELECT i.origin_pack AS origin_pack, i.origin_sequence AS origin_sequence,"
    " i.received_us AS received_us, 1 AS served FROM studies s"
    " JOIN series e ON e.study = s.id JOIN instances i ON i.series = e.id"
    " WHERE s.study_instance_uid = $1 AND ($2 = '' OR e.series_instance_uid = $2)"
    " AND ($3 = '' OR i.sop_instance_uid = $3)"
    " UNION ALL SELECT origin_pack, origin_sequence, received_us, 0 FROM copies"
    " WHERE study_instance_uid = $1 AND ($2 = '' OR series_instance_uid = $2)"
    " AND ($3 = '' OR sop_instance_uid = $3)) AS dying GROUP BY origin_pack ORDER BY origin_pack";

static status_t extent_find(index_t *index, const Index__Delete *what, extent_t *out_extent)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(index->writer, extent_sql, &find));
    statement_bind_text(find, 1, what->study_instance_uid);
    statement_bind_text(find, 2, what->series_instance_uid);
    statement_bind_text(find, 3, what->sop_instance_uid);
    for (bool row = true;;) {
        TRY(statement_step(find, &row));
        if (!row)
            break;
        extent_add(out_extent, find);
    }
    return out_extent->instances ? STATUS_OK : fail(STATUS_NOT_FOUND, "there is no such object");
}

static status_t tombstone_write(index_t *index, const Pack__Tombstone *tombstone)
{
    pack_record_t record;
    TRY(event_write(index, PACK_RECORD_TOMBSTONE, &tombstone->base, &record));
    return event_take_in(index, &record);
}

/* Durable first: then the record is read like any other, and the rows go. */
static status_t tombstones_write(index_t *index, const Index__Delete *what, const extent_t *extent)
{
    Pack__Origin **named = memory_allocate(extent->count * sizeof(Pack__Origin *));
    status_t status = STATUS_OK;
    Pack__Tombstone tombstone = PACK__TOMBSTONE__INIT;
    tombstone.deleted_us = (uint64_t)clock_wall_us();
    tombstone.user = what->user;
    tombstone.study_instance_uid = what->study_instance_uid;
    tombstone.series_instance_uid = what->series_instance_uid;
    tombstone.sop_instance_uid = what->sop_instance_uid;
    tombstone.reason = what->reason;
    tombstone.received_up_to_us = (uint64_t)extent->received_up_to_us;
    tombstone.instances = extent->instances;
    for (size_t i = 0; i < extent->count; i++)
        named[i] = &extent->named[i];
    for (size_t i = 0; i < extent->count && status == STATUS_OK; i += NAMED_MAX) {
        tombstone.last_records = &named[i];
        tombstone.n_last_records = extent->count - i < NAMED_MAX ? extent->count - i : NAMED_MAX;
        status = tombstone_write(index, &tombstone);
    }
    free(named);
    return status;
}

static status_t check(const Index__Delete *what)
{
    TRY(object_check(what->study_instance_uid, what->series_instance_uid, what->sop_instance_uid));
    return decider_check(what->user, what->reason);
}

status_t decider_check(const char *user, const char *reason)
{
    return strlen(user) > TEXT_MAX || strlen(reason) > TEXT_MAX
               ? fail(STATUS_TOO_LARGE, "user or reason has more than %d bytes", TEXT_MAX)
               : STATUS_OK;
}

status_t object_check(const char *study, const char *series, const char *sop)
{
    if (!uid_is_valid(study) || (*series && !uid_is_valid(series)) || (*sop && !uid_is_valid(sop)))
        return fail(STATUS_INVALID, "a Study Instance UID and valid UIDs below are needed");
    if (*sop && !*series)
        return fail(STATUS_INVALID, "of an instance its Series Instance UID is needed, too");
    return STATUS_OK;
}

status_t remove_run(index_t *index, const Index__Delete *what, uint64_t *out_instances)
{
    extent_t extent = {0};
    TRY(check(what));
    if (!scope_sees_all(what->scope))
        return fail(STATUS_NOT_FOUND, "there is no such object");
    status_t status = extent_find(index, what, &extent);
    if (status == STATUS_OK)
        status = hold_check(index->writer, what->study_instance_uid);
    if (status == STATUS_OK)
        status = tombstones_write(index, what, &extent);
    if (status == STATUS_OK) {
        *out_instances = extent.instances;
        log_info("deleted", LOG_TEXT("study_instance_uid", what->study_instance_uid),
                 LOG_NUMBER("instances", extent.instances));
    }
    extent_destroy(&extent);
    return status;
}
