#include "index/rows/rows.h"

#include <stdio.h>
#include <string.h>

/* The record that a RESOLVE chose for an instance. */
static status_t kept_find(rows_t *rows, const char *sop, origin_t *out_kept)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(
        rows->database, "SELECT kept_pack, kept_sequence FROM resolves WHERE sop_instance_uid = $1",
        &find));
    statement_bind_text(find, 1, sop);
    bool row = false;
    TRY(statement_step(find, &row));
    snprintf(out_kept->pack.text, sizeof out_kept->pack.text, "%s",
             row ? statement_text(find, 0) : "");
    out_kept->sequence = row ? statement_int64(find, 1) : 0;
    return STATUS_OK;
}

static bool origin_is(const origin_t *origin, const origin_t *other)
{
    return origin->sequence == other->sequence && strcmp(origin->pack.text, other->pack.text) == 0;
}

/* The record to be served comes first: the chosen one, else the smaller origin. */
static bool goes_before(const origin_t *a, const origin_t *b, const origin_t *kept)
{
    if (origin_is(a, kept) != origin_is(b, kept))
        return origin_is(a, kept);
    return origin_compare(a, b) < 0;
}

/* ---- copies ------------------------------------------------------------------------------------ */

typedef struct {
    const char *sop, *study, *series, *source;
    const ulid_t *pack;
    int64_t record_offset, dataset_length;
    const origin_t *origin;
    const uint8_t *digest;
} copy_t;

static status_t copy_add(rows_t *rows, const copy_t *copy)
{
    statement_t *insert = NULL;
    TRY(database_prepare(rows->database,
                         "INSERT INTO copies (sop_instance_uid, origin_pack, origin_sequence,"
                         " received_us, digest, study_instance_uid, series_instance_uid, pack,"
                         " record_offset, dataset_length, source, conflict)"
                         " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0)"
                         " ON CONFLICT (sop_instance_uid, origin_pack, origin_sequence) DO UPDATE"
                         " SET pack = excluded.pack, record_offset = excluded.record_offset",
                         &insert));
    statement_bind_text(insert, 1, copy->sop);
    statement_bind_text(insert, 2, copy->origin->pack.text);
    statement_bind_int64(insert, 3, copy->origin->sequence);
    statement_bind_int64(insert, 4, copy->origin->received_us);
    statement_bind_blob(insert, 5, copy->digest, DIGEST_SIZE);
    statement_bind_text(insert, 6, copy->study);
    statement_bind_text(insert, 7, copy->series);
    statement_bind_text(insert, 8, copy->pack->text);
    statement_bind_int64(insert, 9, copy->record_offset);
    statement_bind_int64(insert, 10, copy->dataset_length);
    statement_bind_text(insert, 11, copy->source);
    return statement_post(insert);
}

static status_t copy_of_entry(rows_t *rows, const entry_t *entry)
{
    return copy_add(rows, &(copy_t){.sop = entry->sop_instance_uid,
                                    .study = entry->study_instance_uid,
                                    .series = entry->series_instance_uid,
                                    .pack = &entry->record.pack,
                                    .source = entry->source,
                                    .record_offset = (int64_t)entry->record.offset,
                                    .dataset_length = (int64_t)entry->record.dataset_length,
                                    .origin = &entry->origin,
                                    .digest = entry->record.dataset_digest});
}

static status_t copy_of_row(rows_t *rows, const char *sop, const instance_row_t *row)
{
    return copy_add(rows, &(copy_t){.sop = sop,
                                    .study = row->study_instance_uid,
                                    .series = row->series_instance_uid,
                                    .pack = &row->pack,
                                    .source = row->source,
                                    .record_offset = row->record_offset,
                                    .dataset_length = row->dataset_length,
                                    .origin = &row->origin,
                                    .digest = row->digest});
}

/* Which copies are in conflict: other bytes, or another place, than what is served; a decision
 * settles those that were there before it. */
static status_t conflicts_mark(rows_t *rows, const char *sop)
{
    statement_t *update = NULL;
    TRY(database_prepare(
        rows->database,
        "UPDATE copies SET conflict = CASE WHEN EXISTS (SELECT 1 FROM instances i"
        " JOIN studies s ON s.id = i.study JOIN series e ON e.id = i.series"
        " WHERE i.sop_instance_uid = $1 AND i.digest = copies.digest"
        " AND s.study_instance_uid = copies.study_instance_uid"
        " AND e.series_instance_uid = copies.series_instance_uid) OR EXISTS (SELECT 1 FROM resolves"
        " r WHERE r.sop_instance_uid = $1 AND r.settles_up_to_us >= copies.received_us)"
        " THEN 0 ELSE 1 END WHERE sop_instance_uid = $1",
        &update));
    statement_bind_text(update, 1, sop);
    return statement_post(update);
}

/* ---- taking in a record ------------------------------------------------------------------------ */

static status_t copy_forget(rows_t *rows, const entry_t *entry)
{
    statement_t *clear = NULL;
    TRY(database_prepare(rows->database,
                         "DELETE FROM copies WHERE sop_instance_uid = $1 AND origin_pack = $2"
                         " AND origin_sequence = $3",
                         &clear));
    statement_bind_text(clear, 1, entry->sop_instance_uid);
    statement_bind_text(clear, 2, entry->origin.pack.text);
    statement_bind_int64(clear, 3, entry->origin.sequence);
    return statement_post(clear);
}

/* A copy that compaction has moved. */
static status_t copy_move(rows_t *rows, const entry_t *entry, bool *out_moved)
{
    statement_t *update = NULL;
    TRY(database_prepare(rows->database,
                         "UPDATE copies SET pack = $4, record_offset = $5 WHERE sop_instance_uid ="
                         " $1 AND origin_pack = $2 AND origin_sequence = $3",
                         &update));
    statement_bind_text(update, 1, entry->sop_instance_uid);
    statement_bind_text(update, 2, entry->origin.pack.text);
    statement_bind_int64(update, 3, entry->origin.sequence);
    statement_bind_text(update, 4, entry->record.pack.text);
    statement_bind_int64(update, 5, (int64_t)entry->record.offset);
    TRY(statement_run(update));
    *out_moved = database_changed_rows(rows->database) > 0;
    return STATUS_OK;
}

static status_t must_insert(rows_t *rows, const entry_t *entry)
{
    bool inserted = false;
    TRY(rows_insert(rows, entry, &inserted));
    return inserted ? STATUS_OK
                    : fail(STATUS_BUSY, "another replica has just taken in the same instance");
}

/* The record takes the place of the one that is served now. */
static status_t row_replace(rows_t *rows, const entry_t *entry, const instance_row_t *row)
{
    TRY(rows_lock_study(rows, row->study_instance_uid));
    TRY(copy_of_row(rows, entry->sop_instance_uid, row));
    TRY(rows_delete_instance(rows, row->id));
    TRY(copy_forget(rows, entry));
    TRY(must_insert(rows, entry));
    return rows_settle(rows, row->study, row->series);
}

static bool is_same_content(const entry_t *entry, const instance_row_t *row)
{
    return memcmp(entry->record.dataset_digest, row->digest, DIGEST_SIZE) == 0 &&
           strcmp(entry->study_instance_uid, row->study_instance_uid) == 0 &&
           strcmp(entry->series_instance_uid, row->series_instance_uid) == 0;
}

/* Whoever is not served of two records with the same content will not be missed. */
static status_t duplicate_waste(rows_t *rows, const entry_t *entry, const instance_row_t *row,
                                bool replaced)
{
    return replaced ? rows_waste(rows, &row->pack, row->dataset_length)
                    : rows_waste(rows, &entry->record.pack, (int64_t)entry->record.dataset_length);
}

/* There is a row for this SOP Instance UID already. */
static status_t second_put(rows_t *rows, const entry_t *entry, const instance_row_t *row,
                           put_t *out_put)
{
    origin_t kept = {0};
    bool same = is_same_content(entry, row), moved = false;
    *out_put = same ? PUT_DUPLICATE : PUT_CONFLICT;
    TRY(rows_lock_study(rows, row->study_instance_uid));
    if (origin_is(&entry->origin, &row->origin)) /* compaction copied it: it lies elsewhere */
        return rows_move_instance(rows, entry, row);
    TRY(copy_move(rows, entry, &moved));
    if (moved)
        return STATUS_OK;
    TRY(rows_count_source(rows, entry->source, entry->origin.received_us, 0));
    TRY(rows_change(rows, same ? "instance.duplicate" : "instance.conflict",
                    entry->study_instance_uid, entry->series_instance_uid, entry->sop_instance_uid,
                    entry->source));
    TRY(kept_find(rows, entry->sop_instance_uid, &kept));
    bool replaces = goes_before(&entry->origin, &row->origin, &kept);
    if (same)
        TRY(duplicate_waste(rows, entry, row, replaces));
    TRY(replaces ? row_replace(rows, entry, row) : copy_of_entry(rows, entry));
    return conflicts_mark(rows, entry->sop_instance_uid);
}

status_t rows_put_living(rows_t *rows, const entry_t *entry, put_t *out_put)
{
    bool later = false, inserted = false, found = false;
    instance_row_t row;
    *out_put = entry->unreadable ? PUT_UNREADABLE : PUT_STORED;
    TRY(rows_is_later(rows, entry, &later));
    if (later) { /* the usual case: one statement tells that there is no such instance yet */
        TRY(rows_insert(rows, entry, &inserted));
        if (inserted)
            return STATUS_OK;
    }
    TRY(rows_find_instance(rows, entry->sop_instance_uid, &found, &row));
    if (found)
        return second_put(rows, entry, &row, out_put);
    return must_insert(rows, entry);
}

status_t rows_put(rows_t *rows, const entry_t *entry, put_t *out_put)
{
    bool dead = false;
    int64_t decided_us = 0;
    study_row_t *study = NULL;
    TRY(rows_lock_study(rows, entry->study_instance_uid));
    TRY(rows_find_study(rows, entry->study_instance_uid, &study));
    TRY(rows_is_dead(rows, entry, study->has_tombstones, &dead, &decided_us));
    if (!dead)
        return rows_put_living(rows, entry, out_put);
    *out_put = PUT_DEAD;
    return rows_put_buried(rows, entry, decided_us);
}

/* ---- electing ---------------------------------------------------------------------------------- */

/* The copy to be served if none else is. */
static status_t best_copy(rows_t *rows, const char *sop, const origin_t *kept, bool *out_found,
                          origin_t *out_origin, ulid_t *out_pack, int64_t *out_offset)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(rows->database,
                         "SELECT received_us, origin_pack, origin_sequence, pack, record_offset"
                         " FROM copies WHERE sop_instance_uid = $1",
                         &find));
    statement_bind_text(find, 1, sop);
    *out_found = false;
    for (bool row = true;;) {
        TRY(statement_step(find, &row));
        if (!row)
            return STATUS_OK;
        origin_t origin = {.received_us = statement_int64(find, 0),
                           .sequence = statement_int64(find, 2)};
        snprintf(origin.pack.text, sizeof origin.pack.text, "%s", statement_text(find, 1));
        if (*out_found && !goes_before(&origin, out_origin, kept))
            continue;
        *out_found = true;
        *out_origin = origin;
        snprintf(out_pack->text, sizeof out_pack->text, "%s", statement_text(find, 3));
        *out_offset = statement_int64(find, 4);
    }
}

/* A copy whose bytes have rotted cannot be served; it keeps nothing else from being done. */
static status_t copy_serve(rows_t *rows, const ulid_t *pack, int64_t offset,
                           const instance_row_t *row)
{
    pack_record_t record = {0};
    entry_t entry = {0};
    bool held = false;
    TRY(rows_hold_pack(rows, pack, &held));
    if (!held)
        return STATUS_OK;
    status_t status = pack_store_record(rows->store, pack, (uint64_t)offset, &record);
    if (status == STATUS_OK)
        status = entry_read(rows->store, &record, false, &entry);
    if (status == STATUS_INVALID || status == STATUS_NOT_FOUND) {
        entry_destroy(&entry);
        return STATUS_OK;
    }
    if (status == STATUS_OK && !row)
        status = copy_forget(rows, &entry);
    if (status == STATUS_OK)
        status = row ? row_replace(rows, &entry, row) : must_insert(rows, &entry);
    entry_destroy(&entry);
    return status;
}

status_t rows_elect(rows_t *rows, const char *sop_instance_uid)
{
    bool found = false, copy = false;
    instance_row_t row;
    origin_t kept = {0}, origin = {0};
    ulid_t pack = {0};
    int64_t offset = 0;
    TRY(rows_find_instance(rows, sop_instance_uid, &found, &row));
    TRY(kept_find(rows, sop_instance_uid, &kept));
    TRY(best_copy(rows, sop_instance_uid, &kept, &copy, &origin, &pack, &offset));
    if (copy && (!found || goes_before(&origin, &row.origin, &kept)))
        TRY(copy_serve(rows, &pack, offset, found ? &row : NULL));
    return conflicts_mark(rows, sop_instance_uid);
}
