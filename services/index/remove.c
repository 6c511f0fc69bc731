#include "index/find.h"
#include "index/index.h"

#include "base/clock.h"
#include "base/memory.h"
#include "log/log.h"
#include "pack.pb-c.h"

#include <stdlib.h>
#include <string.h>

/* What a deletion takes: how many are served, and the latest time any of their records came. */
typedef struct {
    uint64_t instances;
    int64_t received_up_to_us;
} extent_t;

static status_t extent_add(index_t *index, const Index__Delete *what, const char *sql,
                           bool are_served, extent_t *extent)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(index->writer, sql, &find));
    statement_bind_text(find, 1, what->study_instance_uid);
    statement_bind_text(find, 2, what->series_instance_uid);
    statement_bind_text(find, 3, what->sop_instance_uid);
    bool row = false;
    TRY(statement_step(find, &row));
    if (row && are_served)
        extent->instances = (uint64_t)statement_int64(find, 0);
    if (row && statement_int64(find, 1) > extent->received_up_to_us)
        extent->received_up_to_us = statement_int64(find, 1);
    return STATUS_OK;
}

static status_t extent_find(index_t *index, const Index__Delete *what, extent_t *out_extent)
{
    TRY(extent_add(index, what,
                   "SELECT COUNT(*), COALESCE(MAX(i.received_us), 0) FROM studies s"
                   " JOIN series e ON e.study = s.id JOIN instances i ON i.series = e.id"
                   " WHERE s.study_instance_uid = $1 AND ($2 = '' OR e.series_instance_uid = $2)"
                   " AND ($3 = '' OR i.sop_instance_uid = $3)",
                   true, out_extent));
    /* The copies go with it, or a rebuild would bring one of them back. */
    TRY(extent_add(index, what,
                   "SELECT COUNT(*), COALESCE(MAX(received_us), 0) FROM copies"
                   " WHERE study_instance_uid = $1 AND ($2 = '' OR series_instance_uid = $2)"
                   " AND ($3 = '' OR sop_instance_uid = $3)",
                   false, out_extent));
    return out_extent->instances ? STATUS_OK : fail(STATUS_NOT_FOUND, "there is no such object");
}

static status_t tombstone_write(pack_writer_t *writer, const Index__Delete *what,
                                const extent_t *extent)
{
    Pack__Tombstone tombstone = PACK__TOMBSTONE__INIT;
    tombstone.deleted_us = (uint64_t)clock_wall_us();
    tombstone.user = what->user;
    tombstone.study_instance_uid = what->study_instance_uid;
    tombstone.series_instance_uid = what->series_instance_uid;
    tombstone.sop_instance_uid = what->sop_instance_uid;
    tombstone.reason = what->reason;
    tombstone.received_up_to_us = (uint64_t)extent->received_up_to_us;
    size_t length = pack__tombstone__get_packed_size(&tombstone);
    AUTO_FREE uint8_t *bytes = memory_allocate(length + 1);
    pack__tombstone__pack(&tombstone, bytes);
    pack_record_t record = {0};
    TRY(pack_writer_begin(writer, PACK_RECORD_TOMBSTONE, length));
    return pack_writer_commit(writer, bytes, length, &record);
}

/* Durable first: then the record is read like any other, and the rows go. */
static status_t tombstone_apply(index_t *index, const Index__Delete *what, const extent_t *extent)
{
    pack_writer_t *writer = NULL;
    uint64_t committed = 0;
    TRY(pack_pool_lease(index->pool, "index", &writer));
    ulid_t pack = pack_writer_pack(writer);
    status_t status = tombstone_write(writer, what, extent);
    uint64_t durable = pack_writer_durable_offset(writer);
    if (status == STATUS_OK)
        recover_announce(index, &pack, durable);
    pack_pool_return(index->pool, "index", &writer);
    TRY(status);
    TRY(ingest_pack(index, &pack, durable, &committed));
    return committed >= durable ? STATUS_OK
                                : fail(STATUS_UNAVAILABLE, "the deletion is noted, not yet done");
}

static status_t check(const Index__Delete *what)
{
    enum { TEXT_MAX = 1024 };
    if (!uid_is_valid(what->study_instance_uid) ||
        (*what->series_instance_uid && !uid_is_valid(what->series_instance_uid)) ||
        (*what->sop_instance_uid && !uid_is_valid(what->sop_instance_uid)))
        return fail(STATUS_INVALID, "a deletion needs a Study Instance UID and valid UIDs below");
    if (*what->sop_instance_uid && !*what->series_instance_uid)
        return fail(STATUS_INVALID, "to delete an instance its Series Instance UID is needed");
    if (strlen(what->user) > TEXT_MAX || strlen(what->reason) > TEXT_MAX)
        return fail(STATUS_TOO_LARGE, "user or reason has more than %d bytes", TEXT_MAX);
    return STATUS_OK;
}

status_t remove_run(index_t *index, const Index__Delete *what, uint64_t *out_instances)
{
    extent_t extent = {0};
    TRY(check(what));
    if (!scope_sees_all(what->scope))
        return fail(STATUS_NOT_FOUND, "there is no such object");
    TRY(extent_find(index, what, &extent));
    TRY(tombstone_apply(index, what, &extent));
    *out_instances = extent.instances;
    log_info("deleted", LOG_TEXT("study_instance_uid", what->study_instance_uid),
             LOG_NUMBER("instances", extent.instances));
    return STATUS_OK;
}
