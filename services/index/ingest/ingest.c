#include "index/index.h"

#include "base/clock.h"
#include "log/log.h"
#include "service/metrics.h"

#include <string.h>

/*
 * Packs into rows. The only way in: the fast path, the replay at start and a rebuild all read the
 * pack from its committed offset, which moves in the transaction of the rows it covers.
 *
 *     batch_read()            records from the committed offset on, understood; no transaction yet
 *     begin
 *       offset_move()         UPDATE ... WHERE committed = start: no row is CONFLICT, now or later
 *       database_lock()       all studies and patients of the batch, ascending
 *       item_apply()          each record
 *       rows_flush()          counters, as deltas
 *     commit                  BUSY on the way: rolled back, and run again with the locks it lacked;
 *                             CONFLICT: some instance was there already, run again with care
 */
enum {
    REPLAYS_MAX = 20,
    REPLAYS_MS = 10 * 1000,  /* then others hold locks that they do not give back */
    PIN_US = 2 * 1000 * 1000 /* a pack stays with the replica that last read it for so long */
};

static metric_t indexed_total =
    METRIC_COUNTER("zpacs_index_instances_total", "INSTANCE records taken in.");
static metric_t replays_total =
    METRIC_COUNTER("zpacs_index_replays_total", "Transactions run again: another was in the way.");
static metric_t ingest_seconds =
    METRIC_HISTOGRAM("zpacs_index_ingest_seconds", "Time of one transaction of records.");

/* ---- the committed offset ---------------------------------------------------------------------- */

/* One that is further away than any can be is of a clock that is wrong: it would last as long. */
static bool pin_holds(int64_t until_us)
{
    int64_t left_us = until_us - clock_wall_us();
    return left_us > 0 && left_us <= PIN_US;
}

/* Without a transaction: the common repeat of a message costs one lookup. */
static status_t committed_peek(index_t *index, const ulid_t *pack, uint64_t *out_committed,
                               bool *out_elsewhere)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(index->writer,
                         "SELECT committed_offset, replica, pinned_until_us FROM packs"
                         " WHERE pack = $1",
                         &find));
    statement_bind_text(find, 1, pack->text);
    bool row = false;
    TRY(statement_step(find, &row));
    *out_committed = row ? (uint64_t)statement_int64(find, 0) : PACK_BLOCK_SIZE;
    *out_elsewhere = row && strcmp(statement_text(find, 1), index->replica) != 0 &&
                     pin_holds(statement_int64(find, 2));
    return STATUS_OK;
}

static status_t offset_insert(index_t *index, const batch_t *batch)
{
    statement_t *insert = NULL;
    TRY(database_prepare(index->writer,
                         "INSERT INTO packs (pack, committed_offset, replica, pinned_until_us)"
                         " VALUES ($1, $2, $3, $4) ON CONFLICT (pack) DO NOTHING",
                         &insert));
    statement_bind_text(insert, 1, batch->pack.text);
    statement_bind_int64(insert, 2, (int64_t)batch->end);
    statement_bind_text(insert, 3, index->replica);
    statement_bind_int64(insert, 4, clock_wall_us() + PIN_US);
    return statement_run(insert);
}

static status_t offset_move(index_t *index, const batch_t *batch)
{
    statement_t *update = NULL;
    TRY(database_prepare(index->writer,
                         "UPDATE packs SET committed_offset = $2, replica = $3,"
                         " pinned_until_us = $4 WHERE pack = $1 AND committed_offset = $5",
                         &update));
    statement_bind_text(update, 1, batch->pack.text);
    statement_bind_int64(update, 2, (int64_t)batch->end);
    statement_bind_text(update, 3, index->replica);
    statement_bind_int64(update, 4, clock_wall_us() + PIN_US);
    statement_bind_int64(update, 5, (int64_t)batch->start);
    if (batch->start != PACK_BLOCK_SIZE)
        return statement_post_one(update);
    TRY(statement_run(update));
    if (database_changed_rows(index->writer) == 0)
        TRY(offset_insert(index, batch));
    return database_changed_rows(index->writer) == 1
               ? STATUS_OK
               : fail(STATUS_CONFLICT, "another replica has read pack %s on", batch->pack.text);
}

/* ---- the transaction --------------------------------------------------------------------------- */

static void locks_collect(rows_t *rows, const batch_t *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const item_t *item = &batch->items[i];
        const char *patient, *issuer;
        if (item->tombstone)
            locks_add_study(&rows->locks, item->tombstone->study_instance_uid);
        if (item->restore)
            locks_add_study(&rows->locks, item->restore->study_instance_uid);
        for (size_t k = 0; item->resolve && k < item->resolve->n_study_instance_uids; k++)
            locks_add_study(&rows->locks, item->resolve->study_instance_uids[k]);
        if (!item->is_instance)
            continue;
        locks_add_study(&rows->locks, item->entry.study_instance_uid);
        rows_patient_of(&item->entry, &patient, &issuer);
        locks_add_patient(&rows->locks, patient, issuer);
    }
}

static status_t event_apply(rows_t *rows, item_t *item)
{
    bool is_new = false;
    TRY(rows_put_event(rows, &item->record, &is_new));
    if (!is_new)
        return STATUS_OK; /* compaction has moved it */
    if (item->tombstone)
        return rows_bury(rows, &item->record, item->tombstone);
    if (item->restore)
        return rows_restore(rows, item->restore);
    if (item->hold)
        return rows_hold(rows, &item->record, item->hold);
    return item->resolve ? rows_resolve(rows, &item->record, item->resolve) : STATUS_OK;
}

static status_t item_apply(rows_t *rows, item_t *item)
{
    if (item->is_instance)
        return rows_put(rows, &item->entry, &item->put);
    return item->record.type == PACK_RECORD_INSTANCE ? STATUS_OK : event_apply(rows, item);
}

/* A crash over a record that is read now had another cause, and must not count for the next one. */
static status_t attempts_forget(index_t *index, const batch_t *batch)
{
    statement_t *forget = NULL;
    if (!index->has_attempts)
        return STATUS_OK;
    TRY(database_prepare(index->writer,
                         "DELETE FROM attempts WHERE pack = $1 AND record_offset < $2"
                         " AND attempts < $3",
                         &forget));
    statement_bind_text(forget, 1, batch->pack.text);
    statement_bind_int64(forget, 2, (int64_t)batch->end);
    statement_bind_int64(forget, 3, BATCH_POISON_ATTEMPTS);
    return statement_run(forget);
}

static status_t batch_apply(index_t *index, batch_t *batch)
{
    rows_t *rows = &index->rows;
    TRY(offset_move(index, batch));
    TRY(rows_take_locks(rows));
    for (size_t i = 0; i < batch->count; i++)
        TRY(item_apply(rows, &batch->items[i]));
    TRY(attempts_forget(index, batch));
    return rows_flush(rows);
}

static status_t batch_try(index_t *index, batch_t *batch)
{
    rows_begin(&index->rows);
    TRY(database_begin(index->writer));
    changes_check(&index->rows);
    status_t status = batch_apply(index, batch);
    if (status == STATUS_OK)
        status = rows_commit(&index->rows);
    if (status != STATUS_OK)
        database_rollback(index->writer);
    return status;
}

static void batch_tell(index_t *index, const batch_t *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const item_t *item = &batch->items[i];
        if (!item->is_instance)
            continue;
        metric_add(&indexed_total, 1);
        if (atomic_load(&index->rebuilding))
            atomic_fetch_add(&index->rebuilt_instances, 1);
        if (item->put == PUT_UNREADABLE)
            log_error("instance.unreadable", LOG_TEXT("pack", batch->pack.text),
                      LOG_NUMBER("offset", item->record.offset),
                      LOG_NUMBER("attempts", item->attempts));
        else if (item->put == PUT_CONFLICT)
            log_warning("instance.conflict", LOG_TEXT("pack", batch->pack.text),
                        LOG_NUMBER("offset", item->record.offset),
                        LOG_TEXT("sop_instance_uid", item->entry.sop_instance_uid));
    }
}

static status_t batch_commit(index_t *index, batch_t *batch)
{
    int64_t begin_us = clock_wall_us(), late_ms = clock_monotonic_ms() + REPLAYS_MS;
    status_t status = STATUS_BUSY;
    locks_clear(&index->rows.locks);
    locks_collect(&index->rows, batch);
    index->rows.is_careful = false;
    bool is_late = false;
    for (int i = 0; i < REPLAYS_MAX && status == STATUS_BUSY && !is_late; i++) {
        metric_add(&replays_total, i > 0);
        status = batch_try(index, batch);
        if (status == STATUS_CONFLICT && !index->rows.is_careful) {
            index->rows.is_careful = true;
            status = STATUS_BUSY;
        }
        is_late = clock_monotonic_ms() >= late_ms;
    }
    if (status == STATUS_BUSY && is_late)
        status = fail(STATUS_UNAVAILABLE, "another session does not give its locks back");
    if (status == STATUS_UNAVAILABLE)
        atomic_store(&index->database_ok, false); /* until a scan says otherwise */
    if (status == STATUS_OK) {
        metric_observe_us(&ingest_seconds, clock_wall_us() - begin_us);
        batch_tell(index, batch);
        index_changed(index);
    }
    return status;
}

status_t ingest_pack(index_t *index, const ulid_t *pack, uint64_t limit, uint64_t *out_committed)
{
    uint64_t committed = 0;
    bool elsewhere = false;
    TRY(committed_peek(index, pack, &committed, &elsewhere));
    while (committed < limit && !elsewhere && !atomic_load(&index->stopping)) {
        TRY(batch_read(index, pack, committed, limit, index->batch));
        if (index->batch->end == committed)
            break;
        status_t status = batch_commit(index, index->batch);
        if (status == STATUS_CONFLICT)
            TRY(committed_peek(index, pack, &committed, &elsewhere));
        else
            TRY(status);
        if (status == STATUS_OK)
            committed = index->batch->end;
        index_yield(index);
    }
    if (elsewhere && committed < limit)
        return fail(STATUS_BUSY, "another replica reads pack %s", pack->text);
    *out_committed = committed;
    return STATUS_OK;
}
