#include "index/index.h"

#include "base/clock.h"
#include "base/memory.h"
#include "log/log.h"
#include "pack.pb-c.h"
#include "service/metrics.h"

#include <stdlib.h>
#include <string.h>

/*
 * Packs into rows. The only way in: the fast path, the replay at start and a rebuild all read the
 * pack from its committed offset, which moves in the transaction of the rows it covers.
 */
enum {
    BATCH_RECORDS = 256, /* of one transaction */
    BATCH_MS = 200,
    POISON_ATTEMPTS = 2, /* crashes over one record before it is taken by its provenance alone */
    OUTCOMES_MAX = 16384
};

static metric_t indexed_total =
    METRIC_COUNTER("zpacs_index_instances_total", "INSTANCE records taken in.");
static metric_t damaged_total =
    METRIC_COUNTER("zpacs_index_damaged_total", "Damaged ranges met while reading packs.");
static metric_t ingest_seconds =
    METRIC_HISTOGRAM("zpacs_index_ingest_seconds", "Time of one transaction of records.");

/* ---- poison ------------------------------------------------------------------------------------ */

static status_t attempts_read(index_t *index, const pack_record_t *record, int64_t *out_attempts)
{
    *out_attempts = 0;
    if (!index->has_attempts)
        return STATUS_OK;
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(index->writer,
                         "SELECT attempts FROM attempts WHERE pack = $1 AND record_offset = $2",
                         &find));
    statement_bind_text(find, 1, record->pack.text);
    statement_bind_int64(find, 2, (int64_t)record->offset);
    bool row = false;
    TRY(statement_step(find, &row));
    *out_attempts = row ? statement_int64(find, 0) : 0;
    return STATUS_OK;
}

/* ---- one record -------------------------------------------------------------------------------- */

/* What cannot be indexed at all is left in its pack and told; the pack goes on behind it. */
static status_t record_skip(const pack_record_t *record)
{
    log_error("record.unindexable", LOG_TEXT("pack", record->pack.text),
              LOG_NUMBER("offset", record->offset), LOG_TEXT("reason", fail_detail()));
    metric_add(&damaged_total, 1);
    return STATUS_OK;
}

static status_t instance_take(index_t *index, const pack_record_t *record)
{
    int64_t attempts = 0;
    put_t put = PUT_STORED;
    TRY(attempts_read(index, record, &attempts));
    progress_enter(&index->progress, &record->pack, record->offset);
    status_t status = entry_read(index->store, record, attempts >= POISON_ATTEMPTS, &index->entry);
    progress_leave(&index->progress);
    if (status == STATUS_INVALID)
        return record_skip(record);
    TRY(status);
    TRY(rows_put(&index->rows, &index->entry, &put));
    metric_add(&indexed_total, 1);
    if (atomic_load(&index->rebuilding))
        atomic_fetch_add(&index->rebuilt_instances, 1);
    if (put == PUT_UNREADABLE)
        log_error("instance.unreadable", LOG_TEXT("pack", record->pack.text),
                  LOG_NUMBER("offset", record->offset), LOG_NUMBER("attempts", attempts));
    else if (put == PUT_CONFLICT)
        log_warning("instance.conflict", LOG_TEXT("pack", record->pack.text),
                    LOG_NUMBER("offset", record->offset),
                    LOG_TEXT("sop_instance_uid", index->entry.sop_instance_uid));
    return STATUS_OK;
}

static bool uid_or_empty(const char *uid)
{
    return !*uid || uid_is_valid(uid);
}

static status_t tombstone_take(index_t *index, const uint8_t *bytes, size_t length)
{
    Pack__Tombstone *tombstone = pack__tombstone__unpack(NULL, length, bytes);
    status_t status = STATUS_OK;
    if (!tombstone || !uid_is_valid(tombstone->study_instance_uid) ||
        !uid_or_empty(tombstone->series_instance_uid) || !uid_or_empty(tombstone->sop_instance_uid))
        status = fail(STATUS_INVALID, "a TOMBSTONE is not readable");
    else
        status = rows_bury(&index->rows, tombstone->study_instance_uid,
                           tombstone->series_instance_uid, tombstone->sop_instance_uid,
                           (int64_t)tombstone->received_up_to_us, tombstone->user);
    if (tombstone)
        pack__tombstone__free_unpacked(tombstone, NULL);
    return status;
}

static status_t resolve_take(index_t *index, const uint8_t *bytes, size_t length)
{
    Pack__Resolve *resolve = pack__resolve__unpack(NULL, length, bytes);
    status_t status = STATUS_OK;
    if (!resolve || !uid_is_valid(resolve->sop_instance_uid) || !ulid_is_valid(resolve->kept_pack))
        status = fail(STATUS_INVALID, "a RESOLVE is not readable");
    else
        status =
            rows_resolve(&index->rows, resolve->sop_instance_uid, (int64_t)resolve->resolved_us,
                         resolve->kept_pack, (int64_t)resolve->kept_sequence);
    if (resolve)
        pack__resolve__free_unpacked(resolve, NULL);
    return status;
}

static status_t event_take(index_t *index, const pack_record_t *record)
{
    uint8_t *bytes = NULL;
    size_t length = 0;
    if (record->type != PACK_RECORD_TOMBSTONE && record->type != PACK_RECORD_RESOLVE)
        return STATUS_OK; /* of a later version: nothing here depends on it */
    status_t status = pack_store_provenance(index->store, record, &bytes, &length);
    if (status == STATUS_OK)
        status = record->type == PACK_RECORD_TOMBSTONE ? tombstone_take(index, bytes, length)
                                                       : resolve_take(index, bytes, length);
    free(bytes);
    return status == STATUS_INVALID ? record_skip(record) : status;
}

/* ---- a pack ------------------------------------------------------------------------------------ */

static status_t committed_read(index_t *index, const ulid_t *pack, uint64_t *out_committed)
{
    statement_t *insert = NULL;
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(index->writer,
                         "INSERT INTO packs (pack, committed_offset) VALUES ($1, $2)"
                         " ON CONFLICT (pack) DO NOTHING",
                         &insert));
    statement_bind_text(insert, 1, pack->text);
    statement_bind_int64(insert, 2, PACK_BLOCK_SIZE);
    TRY(statement_run(insert));
    TRY(database_prepare(index->writer, "SELECT committed_offset FROM packs WHERE pack = $1",
                         &find));
    statement_bind_text(find, 1, pack->text);
    bool row = false;
    TRY(statement_step(find, &row));
    *out_committed = row ? (uint64_t)statement_int64(find, 0) : PACK_BLOCK_SIZE;
    return STATUS_OK;
}

static status_t committed_move(index_t *index, const ulid_t *pack, uint64_t start, uint64_t end)
{
    statement_t *update = NULL;
    TRY(database_prepare(index->writer,
                         "UPDATE packs SET committed_offset = $1"
                         " WHERE pack = $2 AND committed_offset = $3",
                         &update));
    statement_bind_int64(update, 1, (int64_t)end);
    statement_bind_text(update, 2, pack->text);
    statement_bind_int64(update, 3, (int64_t)start);
    TRY(statement_run(update));
    return database_changed_rows(index->writer) == 1
               ? STATUS_OK
               : fail(STATUS_CONFLICT, "another index has read pack %s on", pack->text);
}

/* The header at *offset or, behind a damaged range, the next one; NOT_FOUND: nothing (more) here. */
static status_t record_find(index_t *index, const ulid_t *pack, uint64_t limit, uint64_t *offset,
                            pack_record_t *out_record)
{
    if (*offset >= limit)
        return STATUS_NOT_FOUND;
    status_t status = pack_store_record(index->store, pack, *offset, out_record);
    if (status != STATUS_INVALID)
        return status;
    uint64_t next = 0;
    TRY(pack_store_resume(index->store, pack, *offset + PACK_BLOCK_SIZE, &next));
    if (next >= limit)
        return STATUS_NOT_FOUND;
    log_error("pack.damaged", LOG_TEXT("pack", pack->text), LOG_NUMBER("offset", *offset),
              LOG_NUMBER("resumed_at", next));
    metric_add(&damaged_total, 1);
    *offset = next;
    return pack_store_record(index->store, pack, next, out_record);
}

static status_t records_take(index_t *index, const ulid_t *pack, uint64_t limit, uint64_t *offset)
{
    int64_t end_ms = clock_monotonic_ms() + BATCH_MS;
    for (int i = 0; i < BATCH_RECORDS && (i == 0 || clock_monotonic_ms() < end_ms); i++) {
        pack_record_t record;
        status_t status = record_find(index, pack, limit, offset, &record);
        if (status == STATUS_NOT_FOUND || (status == STATUS_OK && record.next_offset > limit))
            break;
        TRY(status);
        TRY(record.type == PACK_RECORD_INSTANCE ? instance_take(index, &record)
                                                : event_take(index, &record));
        *offset = record.next_offset;
    }
    return STATUS_OK;
}

/* One transaction: rows and offset together. */
static status_t batch_run(index_t *index, const ulid_t *pack, uint64_t limit, uint64_t *out_start,
                          uint64_t *out_end)
{
    TRY(committed_read(index, pack, out_start));
    *out_end = *out_start;
    if (*out_start >= limit)
        return STATUS_OK;
    TRY(records_take(index, pack, limit, out_end));
    TRY(committed_move(index, pack, *out_start, *out_end));
    return rows_flush_counters(&index->rows);
}

static status_t batch(index_t *index, const ulid_t *pack, uint64_t limit, uint64_t *out_start,
                      uint64_t *out_end)
{
    int64_t begin_us = clock_wall_us();
    memset(index->rows.counters, 0, sizeof index->rows.counters);
    TRY(database_begin(index->writer));
    status_t status = batch_run(index, pack, limit, out_start, out_end);
    if (status == STATUS_OK)
        status = database_commit(index->writer);
    if (status != STATUS_OK)
        database_rollback(index->writer);
    else if (*out_end > *out_start)
        metric_observe_us(&ingest_seconds, clock_wall_us() - begin_us);
    return status;
}

/* Read without a transaction: the common repeat of a message costs one lookup. */
static status_t committed_peek(index_t *index, const ulid_t *pack, uint64_t *out_committed)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(index->writer, "SELECT committed_offset FROM packs WHERE pack = $1",
                         &find));
    statement_bind_text(find, 1, pack->text);
    bool row = false;
    TRY(statement_step(find, &row));
    *out_committed = row ? (uint64_t)statement_int64(find, 0) : 0;
    return STATUS_OK;
}

status_t ingest_pack(index_t *index, const ulid_t *pack, uint64_t limit, uint64_t *out_committed)
{
    uint64_t start = 0, end = 0;
    TRY(committed_peek(index, pack, &end));
    while (end < limit && !atomic_load(&index->stopping)) {
        TRY(batch(index, pack, limit, &start, &end));
        if (end == start)
            break;
        index_yield(index);
    }
    *out_committed = end;
    return STATUS_OK;
}

/* ---- outcomes ---------------------------------------------------------------------------------- */

/* What became of one record, looked up, so that a repeated message gets the same answer. */
static status_t outcome_find(index_t *index, const entry_t *entry, Index__Outcome__Kind *out_kind)
{
    bool found = false, row = false;
    instance_row_t served;
    TRY(rows_find_instance(&index->rows, entry->sop_instance_uid, &found, &served));
    *out_kind = INDEX__OUTCOME__KIND__STORED;
    if (found && origin_compare(&served.origin, &entry->origin) == 0) {
        if (served.unreadable)
            *out_kind = INDEX__OUTCOME__KIND__UNREADABLE;
        return STATUS_OK;
    }
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(index->writer,
                         "SELECT conflict FROM copies WHERE sop_instance_uid = $1"
                         " AND origin_pack = $2 AND origin_sequence = $3",
                         &find));
    statement_bind_text(find, 1, entry->sop_instance_uid);
    statement_bind_text(find, 2, entry->origin.pack.text);
    statement_bind_int64(find, 3, entry->origin.sequence);
    TRY(statement_step(find, &row));
    if (row)
        *out_kind = statement_int64(find, 0) ? INDEX__OUTCOME__KIND__CONFLICT
                                             : INDEX__OUTCOME__KIND__DUPLICATE;
    return STATUS_OK;
}

static status_t outcome_add(index_t *index, const pack_record_t *record, Index__PackIndexed *reply)
{
    Index__Outcome__Kind kind = INDEX__OUTCOME__KIND__UNREADABLE;
    status_t status = entry_read(index->store, record, true, &index->entry);
    if (status == STATUS_OK)
        status = outcome_find(index, &index->entry, &kind);
    if (status != STATUS_OK && status != STATUS_INVALID)
        return status;
    Index__Outcome *outcome = memory_allocate(sizeof *outcome);
    index__outcome__init(outcome);
    outcome->offset = record->offset;
    outcome->kind = kind;
    reply->outcomes =
        memory_resize(reply->outcomes, (reply->n_outcomes + 1) * sizeof(Index__Outcome *));
    reply->outcomes[reply->n_outcomes++] = outcome;
    return STATUS_OK;
}

status_t ingest_outcomes(index_t *index, const ulid_t *pack, uint64_t from, uint64_t committed,
                         Index__PackIndexed *reply)
{
    pack_record_t record;
    while (from < committed && reply->n_outcomes < OUTCOMES_MAX) {
        status_t status = record_find(index, pack, committed, &from, &record);
        if (status == STATUS_NOT_FOUND)
            break;
        TRY(status);
        if (record.type == PACK_RECORD_INSTANCE)
            TRY(outcome_add(index, &record, reply));
        from = record.next_offset;
    }
    return STATUS_OK;
}
