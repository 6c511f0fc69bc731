#include "index/find/find.h"
#include "index/index.h"

#include "base/clock.h"
#include "log/log.h"
#include "pack.pb-c.h"

#include <stdio.h>

/* One deletion may be several TOMBSTONEs (remove.c), with one time. */
enum { TOMBSTONES_MAX = 64 };

typedef struct {
    int64_t deleted_us, instances;
    ulid_t packs[TOMBSTONES_MAX];
    uint64_t sequences[TOMBSTONES_MAX];
    size_t count;
} deletion_t;

static void bind_object(statement_t *statement, const Index__Undelete *what)
{
    statement_bind_text(statement, 1, what->study_instance_uid);
    statement_bind_text(statement, 2, what->series_instance_uid);
    statement_bind_text(statement, 3, what->sop_instance_uid);
}

/* The latest deletion of exactly this object. */
static status_t deletion_find(index_t *index, const Index__Undelete *what, deletion_t *deletion)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(index->writer,
                         "SELECT DISTINCT deleted_us, origin_pack, origin_sequence, instances"
                         " FROM tombstones WHERE study_instance_uid = $1"
                         " AND series_instance_uid = $2 AND sop_instance_uid = $3"
                         " ORDER BY deleted_us DESC, origin_pack, origin_sequence",
                         &find));
    bind_object(find, what);
    for (bool row = true; deletion->count < TOMBSTONES_MAX;) {
        TRY(statement_step(find, &row));
        if (!row || (deletion->count > 0 && statement_int64(find, 0) != deletion->deleted_us))
            break;
        deletion->deleted_us = statement_int64(find, 0);
        deletion->instances = statement_int64(find, 3);
        snprintf(deletion->packs[deletion->count].text, sizeof(ulid_t), "%s",
                 statement_text(find, 1));
        deletion->sequences[deletion->count++] = (uint64_t)statement_int64(find, 2);
    }
    return deletion->count ? STATUS_OK
                           : fail(STATUS_NOT_FOUND, "there is no deletion of exactly this object");
}

static status_t number_find(index_t *index, const char *sql, const Index__Undelete *what,
                            int64_t deleted_us, int64_t *out_number)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(index->writer, sql, &find));
    bind_object(find, what);
    if (deleted_us)
        statement_bind_int64(find, 4, deleted_us);
    bool row = false;
    TRY(statement_step(find, &row));
    *out_number = row ? statement_int64(find, 0) : 0;
    return STATUS_OK;
}

/* How many of its instances have bytes yet. */
static status_t left_count(index_t *index, const Index__Undelete *what, int64_t deleted_us,
                           int64_t *out_left)
{
    return number_find(index,
                       "SELECT COUNT(DISTINCT b.sop_instance_uid) FROM buried b"
                       " JOIN packs p ON p.pack = b.pack AND p.condemned = 0"
                       " WHERE b.study_instance_uid = $1"
                       " AND ($2 = '' OR b.series_instance_uid = $2)"
                       " AND ($3 = '' OR b.sop_instance_uid = $3) AND EXISTS (SELECT 1"
                       " FROM tombstones t WHERE t.study_instance_uid = $1"
                       " AND t.series_instance_uid = $2 AND t.sop_instance_uid = $3"
                       " AND t.deleted_us = $4"
                       " AND ((t.pack = b.origin_pack AND t.up_to_sequence >= b.origin_sequence)"
                       " OR (t.pack = '' AND t.received_up_to_us >= b.received_us)))",
                       what, deleted_us, out_left);
}

static status_t served_count(index_t *index, const Index__Undelete *what, int64_t *out_served)
{
    return number_find(index,
                       "SELECT COUNT(*) FROM studies s JOIN series e ON e.study = s.id"
                       " JOIN instances i ON i.series = e.id WHERE s.study_instance_uid = $1"
                       " AND ($2 = '' OR e.series_instance_uid = $2)"
                       " AND ($3 = '' OR i.sop_instance_uid = $3)",
                       what, 0, out_served);
}

static status_t restore_write(index_t *index, const Index__Undelete *what,
                              const deletion_t *deletion, size_t number)
{
    pack_record_t record;
    Pack__Restore restore = PACK__RESTORE__INIT;
    Pack__Origin origin = PACK__ORIGIN__INIT;
    origin.pack = (char *)(uintptr_t)deletion->packs[number].text;
    origin.sequence = deletion->sequences[number];
    restore.restored_us = (uint64_t)clock_wall_us();
    restore.user = what->user;
    restore.reason = what->reason;
    restore.tombstone = &origin;
    restore.study_instance_uid = what->study_instance_uid;
    restore.series_instance_uid = what->series_instance_uid;
    restore.sop_instance_uid = what->sop_instance_uid;
    TRY(event_write(index, PACK_RECORD_RESTORE, &restore.base, &record));
    return event_take_in(index, &record);
}

static status_t restore_all(index_t *index, const Index__Undelete *what, Index__Undeleted *reply)
{
    deletion_t deletion = {.count = 0};
    int64_t left = 0, before = 0, after = 0;
    TRY(deletion_find(index, what, &deletion));
    TRY(left_count(index, what, deletion.deleted_us, &left));
    TRY(served_count(index, what, &before));
    reply->gone = deletion.instances > left ? (uint64_t)(deletion.instances - left) : 0;
    for (size_t i = 0; left > 0 && i < deletion.count; i++)
        TRY(restore_write(index, what, &deletion, i));
    TRY(served_count(index, what, &after));
    reply->instances = after > before ? (uint64_t)(after - before) : 0;
    return STATUS_OK;
}

status_t undelete_run(index_t *index, const Index__Undelete *what, Index__Undeleted *reply)
{
    TRY(object_check(what->study_instance_uid, what->series_instance_uid, what->sop_instance_uid));
    TRY(decider_check(what->user, what->reason));
    if (!scope_sees_all(what->scope))
        return fail(STATUS_NOT_FOUND, "there is no deletion of exactly this object");
    TRY(restore_all(index, what, reply));
    log_info("undeleted", LOG_TEXT("study_instance_uid", what->study_instance_uid),
             LOG_NUMBER("instances", reply->instances), LOG_NUMBER("gone", reply->gone));
    return STATUS_OK;
}
