#include "index/rows/rows.h"

#include <string.h>

/* Reads the record at (pack, offset) again, to take its attributes. */
static status_t entry_again(rows_t *rows, const char *pack, int64_t offset, bool unreadable,
                            entry_t *out_entry)
{
    ulid_t ulid = {0};
    pack_record_t record = {0};
    memcpy(ulid.text, pack, strnlen(pack, ULID_LENGTH));
    TRY(pack_store_record(rows->store, &ulid, (uint64_t)offset, &record));
    return entry_read(rows->store, &record, unreadable, out_entry);
}

/* The instance with the smallest origin of a study or series. */
static status_t smallest_read(rows_t *rows, const char *sql, int64_t id, bool *out_is_first,
                              entry_t *out_entry)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(rows->database, sql, &find));
    statement_bind_int64(find, 1, id);
    bool row = false;
    TRY(statement_step(find, &row));
    *out_is_first = !row || statement_int64(find, 3) == 1;
    if (*out_is_first)
        return STATUS_OK;
    status_t status = entry_again(rows, statement_text(find, 0), statement_int64(find, 1),
                                  statement_int64(find, 2) != 0, out_entry);
    if (status != STATUS_INVALID && status != STATUS_NOT_FOUND)
        return status;
    /* Its bytes have rotted since: the row keeps what it says, and nothing else is held up. */
    *out_is_first = true;
    return STATUS_OK;
}

#define SMALLEST(table, column)                                                                    \
    "SELECT i.pack, i.record_offset, i.unreadable, CASE WHEN i.origin_pack = p.first_pack"         \
    " AND i.origin_sequence = p.first_sequence THEN 1 ELSE 0 END FROM instances i"                 \
    " JOIN " table " p ON p.id = i." column " WHERE i." column " = $1"                             \
    " ORDER BY i.received_us, i.origin_pack, i.origin_sequence LIMIT 1"

/* sql has $1, the row's id. */
static status_t run_with_id(rows_t *rows, const char *sql, int64_t id)
{
    statement_t *statement = NULL;
    TRY(database_prepare(rows->database, sql, &statement));
    statement_bind_int64(statement, 1, id);
    return statement_run(statement);
}

/* sql has $2 too, the time of this transaction. */
static status_t count_anew(rows_t *rows, const char *sql, int64_t id)
{
    statement_t *statement = NULL;
    TRY(database_prepare(rows->database, sql, &statement));
    statement_bind_int64(statement, 1, id);
    statement_bind_int64(statement, 2, rows->now_us);
    return statement_post(statement);
}

static status_t series_settle(rows_t *rows, int64_t series)
{
    TRY(count_anew(rows,
                   "UPDATE series SET version = " ROWS_NEXT_VERSION(
                       "$2") ", instance_count ="
                             " (SELECT COUNT(*) FROM instances WHERE series = $1) WHERE id = $1",
                   series));
    TRY(run_with_id(rows, "DELETE FROM series WHERE id = $1 AND instance_count = 0", series));
    int64_t removed = database_changed_rows(rows->database);
    rows->counters[COUNTER_SERIES] -= removed;
    if (removed)
        return STATUS_OK;
    bool is_first = true;
    entry_t entry = {0};
    status_t status = smallest_read(rows, SMALLEST("series", "series"), series, &is_first, &entry);
    if (status == STATUS_OK && !is_first)
        status = rows_set_series(rows, series, &entry);
    entry_destroy(&entry);
    return status;
}

static status_t study_remove(rows_t *rows, int64_t study, bool *out_removed)
{
    AUTO_STATEMENT *clear = NULL;
    TRY(database_prepare(rows->database,
                         "DELETE FROM studies WHERE id = $1 AND instance_count = 0"
                         " RETURNING patient",
                         &clear));
    statement_bind_int64(clear, 1, study);
    bool row = false;
    TRY(statement_step(clear, &row));
    *out_removed = row;
    if (!row)
        return STATUS_OK;
    int64_t patient = statement_int64(clear, 0);
    TRY(statement_step(clear, &row));
    rows->counters[COUNTER_STUDIES]--;
    TRY(run_with_id(rows, "DELETE FROM names WHERE study = $1", study));
    return rows_leave_patient(rows, patient);
}

static status_t study_settle(rows_t *rows, int64_t study)
{
    TRY(count_anew(rows,
                   "UPDATE studies SET version = " ROWS_NEXT_VERSION(
                       "$2") ", series_count ="
                             " (SELECT COUNT(*) FROM series WHERE study = $1), instance_count ="
                             " (SELECT COUNT(*) FROM instances WHERE study = $1) WHERE id = $1",
                   study));
    bool removed = false, is_first = true;
    TRY(rows_settle_modalities(rows, study));
    TRY(study_remove(rows, study, &removed));
    if (removed)
        return STATUS_OK;
    entry_t entry = {0};
    status_t status = smallest_read(rows, SMALLEST("studies", "study"), study, &is_first, &entry);
    if (status == STATUS_OK && !is_first)
        status = rows_take_study(rows, study, &entry);
    entry_destroy(&entry);
    return status;
}

status_t rows_settle(rows_t *rows, int64_t study, int64_t series)
{
    TRY(rows_flush_parents(rows));
    TRY(series_settle(rows, series));
    return study_settle(rows, study);
}
