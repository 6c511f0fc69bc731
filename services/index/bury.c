#include "index/rows.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Pairs of ids or UIDs collected before rows change under a running statement. */
typedef struct {
    int64_t id, study, series, dataset_length;
    ulid_t pack;
    char *sop;
} grave_t;

typedef struct {
    grave_t *graves;
    size_t count, capacity;
} graves_t;

static void graves_add(graves_t *graves, const grave_t *grave)
{
    if (graves->count == graves->capacity) {
        graves->capacity = graves->capacity ? 2 * graves->capacity : 64;
        graves->graves = memory_resize(graves->graves, graves->capacity * sizeof *graves->graves);
    }
    graves->graves[graves->count++] = *grave;
}

static void graves_destroy(graves_t *graves)
{
    for (size_t i = 0; i < graves->count; i++)
        free(graves->graves[i].sop);
    free(graves->graves);
}

static void bind_grave(statement_t *statement, const char *study, const char *series,
                       const char *sop, int64_t received_up_to_us)
{
    statement_bind_text(statement, 1, study);
    statement_bind_text(statement, 2, series);
    statement_bind_text(statement, 3, sop);
    statement_bind_int64(statement, 4, received_up_to_us);
}

static status_t tombstone_note(rows_t *rows, const char *study, const char *series, const char *sop,
                               int64_t received_up_to_us)
{
    statement_t *upsert = NULL;
    TRY(database_prepare(rows->database,
                         "INSERT INTO tombstones (study_instance_uid, series_instance_uid,"
                         " sop_instance_uid, received_up_to_us) VALUES ($1, $2, $3, $4)"
                         " ON CONFLICT (study_instance_uid, series_instance_uid, sop_instance_uid)"
                         " DO UPDATE SET received_up_to_us = CASE WHEN"
                         " tombstones.received_up_to_us < excluded.received_up_to_us"
                         " THEN excluded.received_up_to_us ELSE tombstones.received_up_to_us END",
                         &upsert));
    bind_grave(upsert, study, series, sop, received_up_to_us);
    return statement_post(upsert);
}

static status_t graves_find(rows_t *rows, const char *study, const char *series, const char *sop,
                            int64_t received_up_to_us, graves_t *graves)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(rows->database,
                         "SELECT i.id, i.study, i.series, i.sop_instance_uid, i.pack,"
                         " i.dataset_length FROM studies s"
                         " JOIN series e ON e.study = s.id JOIN instances i ON i.series = e.id"
                         " WHERE s.study_instance_uid = $1"
                         " AND ($2 = '' OR e.series_instance_uid = $2)"
                         " AND ($3 = '' OR i.sop_instance_uid = $3) AND i.received_us <= $4"
                         " ORDER BY i.series",
                         &find));
    bind_grave(find, study, series, sop, received_up_to_us);
    for (bool row = true;;) {
        TRY(statement_step(find, &row));
        if (!row)
            return STATUS_OK;
        grave_t grave = {.id = statement_int64(find, 0),
                         .study = statement_int64(find, 1),
                         .series = statement_int64(find, 2),
                         .sop = memory_copy_text(statement_text(find, 3)),
                         .dataset_length = statement_int64(find, 5)};
        snprintf(grave.pack.text, sizeof grave.pack.text, "%s", statement_text(find, 4));
        graves_add(graves, &grave);
    }
}

static status_t copies_clear(rows_t *rows, const char *study, const char *series, const char *sop,
                             int64_t received_up_to_us)
{
    AUTO_STATEMENT *clear = NULL;
    TRY(database_prepare(rows->database,
                         "DELETE FROM copies WHERE study_instance_uid = $1"
                         " AND ($2 = '' OR series_instance_uid = $2)"
                         " AND ($3 = '' OR sop_instance_uid = $3) AND received_us <= $4"
                         " RETURNING pack, dataset_length",
                         &clear));
    bind_grave(clear, study, series, sop, received_up_to_us);
    for (bool row = true;;) {
        TRY(statement_step(clear, &row));
        if (!row)
            return STATUS_OK;
        ulid_t pack = {0};
        snprintf(pack.text, sizeof pack.text, "%s", statement_text(clear, 0));
        TRY(rows_waste(rows, &pack, statement_int64(clear, 1)));
    }
}

/* Studies that hold another record of what goes: they may have to serve it. */
static status_t heirs_lock(rows_t *rows, const graves_t *graves)
{
    status_t status = STATUS_OK;
    for (size_t i = 0; i < graves->count; i++) {
        AUTO_STATEMENT *find = NULL;
        TRY(database_prepare(rows->database,
                             "SELECT study_instance_uid FROM copies WHERE sop_instance_uid = $1",
                             &find));
        statement_bind_text(find, 1, graves->graves[i].sop);
        for (bool row = true;;) {
            TRY(statement_step(find, &row));
            if (!row)
                break;
            if (rows_lock_study(rows, statement_text(find, 0)) != STATUS_OK)
                status = STATUS_BUSY;
        }
    }
    return status;
}

static status_t graves_dig(rows_t *rows, const graves_t *graves)
{
    for (size_t i = 0; i < graves->count; i++) {
        TRY(rows_delete_instance(rows, graves->graves[i].id));
        TRY(rows_waste(rows, &graves->graves[i].pack, graves->graves[i].dataset_length));
    }
    for (size_t i = 0; i < graves->count; i++)
        if (i + 1 == graves->count || graves->graves[i + 1].series != graves->graves[i].series)
            TRY(rows_settle(rows, graves->graves[i].study, graves->graves[i].series));
    /* What came after the deletion, or lies elsewhere under the same UID, is served now. */
    for (size_t i = 0; i < graves->count; i++)
        TRY(rows_elect(rows, graves->graves[i].sop));
    return STATUS_OK;
}

status_t rows_bury(rows_t *rows, const char *study, const char *series, const char *sop,
                   int64_t received_up_to_us, const char *user)
{
    graves_t graves = {0};
    TRY(rows_lock_study(rows, study));
    TRY(rows_flush_parents(rows));
    TRY(tombstone_note(rows, study, series, sop, received_up_to_us));
    TRY(rows_change(rows,
                    *sop      ? "instance.deleted"
                    : *series ? "series.deleted"
                              : "study.deleted",
                    study, series, sop, user));
    status_t status = graves_find(rows, study, series, sop, received_up_to_us, &graves);
    if (status == STATUS_OK)
        status = heirs_lock(rows, &graves);
    if (status == STATUS_OK)
        status = copies_clear(rows, study, series, sop, received_up_to_us);
    if (status == STATUS_OK)
        status = graves_dig(rows, &graves);
    graves_destroy(&graves);
    return status;
}

status_t rows_resolve(rows_t *rows, const char *sop, int64_t resolved_us, const char *kept_pack,
                      int64_t kept_sequence)
{
    statement_t *upsert = NULL;
    TRY(database_prepare(rows->database,
                         "INSERT INTO resolves (sop_instance_uid, resolved_us, kept_pack,"
                         " kept_sequence) VALUES ($1, $2, $3, $4)"
                         " ON CONFLICT (sop_instance_uid) DO UPDATE SET"
                         " resolved_us = excluded.resolved_us, kept_pack = excluded.kept_pack,"
                         " kept_sequence = excluded.kept_sequence"
                         " WHERE resolves.resolved_us < excluded.resolved_us",
                         &upsert));
    statement_bind_text(upsert, 1, sop);
    statement_bind_int64(upsert, 2, resolved_us);
    statement_bind_text(upsert, 3, kept_pack);
    statement_bind_int64(upsert, 4, kept_sequence);
    TRY(statement_post(upsert));
    return rows_elect(rows, sop);
}
