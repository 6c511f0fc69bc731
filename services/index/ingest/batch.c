#include "index/ingest/batch.h"

#include "base/clock.h"
#include "base/memory.h"
#include "index/index.h"
#include "log/log.h"
#include "service/metrics.h"

#include <stdlib.h>
#include <string.h>

static metric_t damaged_total =
    METRIC_COUNTER("zpacs_index_damaged_total", "Damaged ranges met while reading packs.");

/* ---- one record -------------------------------------------------------------------------------- */

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

static status_t instance_read(index_t *index, item_t *item)
{
    TRY(attempts_read(index, &item->record, &item->attempts));
    progress_enter(&index->progress, &item->record.pack, item->record.offset);
    status_t status = entry_read(index->store, &item->record,
                                 item->attempts >= BATCH_POISON_ATTEMPTS, &item->entry);
    progress_leave(&index->progress);
    item->is_instance = status == STATUS_OK;
    return status;
}

static void item_clear(item_t *item)
{
    event_clear(item);
    item->is_instance = false;
}

/* What cannot be indexed at all is left in its pack and told; the pack goes on behind it. */
static status_t item_read(index_t *index, item_t *item)
{
    status_t status = item->record.type == PACK_RECORD_INSTANCE ? instance_read(index, item)
                                                                : event_read(index, item);
    if (status != STATUS_INVALID)
        return status;
    log_error("record.unindexable", LOG_TEXT("pack", item->record.pack.text),
              LOG_NUMBER("offset", item->record.offset), LOG_TEXT("reason", fail_detail()));
    metric_add(&damaged_total, 1);
    item_clear(item);
    return STATUS_OK;
}

/* ---- a pack ------------------------------------------------------------------------------------ */

status_t batch_find_record(index_t *index, const ulid_t *pack, uint64_t limit, uint64_t *offset,
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

static size_t extracted_bytes(const item_t *item)
{
    size_t bytes = 0;
    for (int level = 0; item->is_instance && level < LEVEL_COUNT; level++)
        bytes += item->entry.extract.fragments[level].length;
    return bytes;
}

status_t batch_read(index_t *index, const ulid_t *pack, uint64_t start, uint64_t limit,
                    batch_t *batch)
{
    int64_t end_ms = clock_monotonic_ms() + BATCH_MS;
    size_t bytes = 0;
    batch_clear(batch);
    batch->pack = *pack;
    batch->start = batch->end = start;
    while (batch->count < BATCH_RECORDS && bytes < BATCH_BYTES &&
           (batch->count == 0 || clock_monotonic_ms() < end_ms)) {
        item_t *item = &batch->items[batch->count];
        uint64_t offset = batch->end;
        status_t status = batch_find_record(index, pack, limit, &offset, &item->record);
        if (status == STATUS_NOT_FOUND || (status == STATUS_OK && item->record.next_offset > limit))
            break;
        TRY(status);
        batch->count++;
        TRY(item_read(index, item));
        bytes += extracted_bytes(item);
        batch->end = item->record.next_offset;
    }
    return STATUS_OK;
}

void batch_clear(batch_t *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        item_clear(&batch->items[i]);
    batch->count = 0;
}

void batch_destroy(batch_t **batch)
{
    if (!*batch)
        return;
    batch_clear(*batch);
    for (size_t i = 0; i < BATCH_RECORDS; i++)
        entry_destroy(&(*batch)->items[i].entry);
    free(*batch);
    *batch = NULL;
}
