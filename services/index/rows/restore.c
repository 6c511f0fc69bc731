#include "index/rows/rows.h"

#include <stdio.h>

/* The object that a TOMBSTONE deleted; false: it was not read yet, or taken back already. */
static status_t tombstone_find(rows_t *rows, const Pack__Origin *origin, bool *out_found,
                               uid_text_t out_study, uid_text_t out_series, uid_text_t out_sop)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(rows->database,
                         "SELECT study_instance_uid, series_instance_uid, sop_instance_uid"
                         " FROM tombstones WHERE origin_pack = $1 AND origin_sequence = $2 LIMIT 1",
                         &find));
    statement_bind_text(find, 1, origin->pack);
    statement_bind_int64(find, 2, (int64_t)origin->sequence);
    TRY(statement_step(find, out_found));
    if (*out_found) {
        snprintf(out_study, sizeof(uid_text_t), "%s", statement_text(find, 0));
        snprintf(out_series, sizeof(uid_text_t), "%s", statement_text(find, 1));
        snprintf(out_sop, sizeof(uid_text_t), "%s", statement_text(find, 2));
    }
    return STATUS_OK;
}

static status_t run_with_origin(rows_t *rows, const char *sql, const Pack__Origin *origin)
{
    statement_t *statement = NULL;
    TRY(database_prepare(rows->database, sql, &statement));
    statement_bind_text(statement, 1, origin->pack);
    statement_bind_int64(statement, 2, (int64_t)origin->sequence);
    return statement_post(statement);
}

status_t rows_restore(rows_t *rows, const Pack__Restore *restore)
{
    bool found = false;
    uid_text_t study = "", series = "", sop = "";
    const Pack__Origin *tombstone = restore->tombstone;
    TRY(rows_lock_study(rows, restore->study_instance_uid));
    TRY(run_with_origin(rows,
                        "INSERT INTO restores (tombstone_pack, tombstone_sequence) VALUES ($1, $2)"
                        " ON CONFLICT (tombstone_pack, tombstone_sequence) DO NOTHING",
                        tombstone));
    TRY(tombstone_find(rows, tombstone, &found, study, series, sop));
    if (!found)
        return STATUS_OK;
    TRY(rows_lock_study(rows, study));
    TRY(run_with_origin(
        rows, "DELETE FROM tombstones WHERE origin_pack = $1 AND origin_sequence = $2", tombstone));
    TRY(rows_change(rows,
                    *sop      ? "instance.restored"
                    : *series ? "series.restored"
                              : "study.restored",
                    study, series, sop, restore->user));
    return rows_exhume(rows, study, series, sop);
}
