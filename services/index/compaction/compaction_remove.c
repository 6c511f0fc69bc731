#include "index/compaction/compaction.h"

#include "index/compaction/judge.h"
#include "log/log.h"
#include "service/metrics.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * A retired pack whose grace is over goes: it is condemned first, so that no row comes to point to
 * it any more; then each of its records is judged once more; then it is unlinked, and last its rows
 * go. If one of its records lives, it is a pack like any other again, and will be compacted again.
 */
static metric_t removed_total =
    METRIC_COUNTER("zpacs_index_packs_removed_total", "Packs unlinked after compaction.");
static metric_t removed_bytes_total =
    METRIC_COUNTER("zpacs_index_removed_bytes_total", "Bytes of packs unlinked after compaction.");
static metric_t reprieved_total = METRIC_COUNTER("zpacs_index_packs_reprieved_total",
                                                 "Retired packs that turned out to be needed.");

enum { RETIRED_MAX = 64 };

typedef struct {
    ulid_t packs[RETIRED_MAX];
    size_t count;
} retired_t;

static status_t retired_find(index_t *index, retired_t *retired)
{
    AUTO_STATEMENT *find = NULL;
    int64_t now_us = compaction_now_us(index);
    TRY(database_prepare(index->writer,
                         "SELECT pack FROM packs WHERE retired_us > 0 AND retired_us <= $1"
                         " AND " COMPACTION_IS_FREE("held_until_us", "$2", "$4") " ORDER BY pack"
                                                                                 " LIMIT $3",
                         &find));
    statement_bind_int64(find, 1, now_us - index->config->retire_grace_seconds * 1000000);
    statement_bind_int64(find, 2, now_us);
    statement_bind_int64(find, 3, RETIRED_MAX);
    statement_bind_int64(find, 4, now_us + COMPACTION_HELD_US);
    for (bool row = true; retired->count < RETIRED_MAX;) {
        TRY(statement_step(find, &row));
        if (!row)
            return STATUS_OK;
        snprintf(retired->packs[retired->count++].text, sizeof(ulid_t), "%s",
                 statement_text(find, 0));
    }
    return STATUS_OK;
}

/* sql: $1 is the pack. */
static status_t run_with_pack(index_t *index, const char *sql, const ulid_t *pack)
{
    statement_t *statement = NULL;
    TRY(database_prepare(index->writer, sql, &statement));
    statement_bind_text(statement, 1, pack->text);
    return statement_run(statement);
}

static status_t condemn(index_t *index, const ulid_t *pack)
{
    (void)index_lock(index, INT64_MAX);
    status_t status =
        judge_may_work(index)
            ? run_with_pack(index, "UPDATE packs SET condemned = 1 WHERE pack = $1", pack)
            : fail(STATUS_EXPIRED, "compaction has to wait");
    index_unlock(index);
    return status;
}

/* As if it had never been retired; what was moved out of it is waste, so it is chosen again. */
static status_t reprieve(index_t *index, const ulid_t *pack)
{
    log_warning("compaction.reprieved", LOG_TEXT("pack", pack->text));
    metric_add(&reprieved_total, 1);
    (void)index_lock(index, INT64_MAX);
    status_t status = run_with_pack(
        index,
        "INSERT INTO waste (pack, records, bytes, since_us)"
        " SELECT pack, 1, committed_offset, 0 FROM packs WHERE pack = $1"
        " ON CONFLICT (pack) DO UPDATE SET bytes = excluded.bytes, since_us = excluded.since_us",
        pack);
    if (status == STATUS_OK)
        status = run_with_pack(
            index, "UPDATE packs SET retired_us = 0, condemned = 0 WHERE pack = $1", pack);
    index_unlock(index);
    return status;
}

static status_t rows_forget(index_t *index, const ulid_t *pack)
{
    static const char *const texts[] = {
        "DELETE FROM buried WHERE pack = $1", "DELETE FROM copies WHERE pack = $1",
        "DELETE FROM waste WHERE pack = $1", "DELETE FROM attempts WHERE pack = $1",
        "DELETE FROM packs WHERE pack = $1"};
    TRY(database_begin(index->writer));
    status_t status = STATUS_OK;
    for (size_t i = 0; i < sizeof texts / sizeof *texts && status == STATUS_OK; i++)
        status = run_with_pack(index, texts[i], pack);
    if (status == STATUS_OK)
        status = database_commit(index->writer);
    if (status != STATUS_OK)
        database_rollback(index->writer);
    return status;
}

/* The file first: rows without a file are found again here, a file without rows would be read anew. */
static status_t pack_unlink(index_t *index, const ulid_t *pack, uint64_t size)
{
    (void)index_lock(index, INT64_MAX);
    status_t status = judge_may_work(index) ? pack_store_unlink(index->store, pack)
                                            : fail(STATUS_EXPIRED, "compaction has to wait");
    if (status == STATUS_CONFLICT) { /* it is gone, but not its bytes: somebody's hard link */
        log_error("compaction.linked", LOG_TEXT("pack", pack->text),
                  LOG_TEXT("reason", fail_detail()));
        status = STATUS_OK;
    }
    if (status == STATUS_OK)
        status = rows_forget(index, pack);
    index_unlock(index);
    TRY(status);
    metric_add(&removed_total, 1);
    metric_add(&removed_bytes_total, (int64_t)size);
    log_info("compaction.removed", LOG_TEXT("pack", pack->text), LOG_NUMBER("bytes", size));
    return STATUS_OK;
}

static status_t pack_remove(index_t *index, const ulid_t *pack)
{
    living_t living = {0};
    uint64_t size = 0;
    TRY(condemn(index, pack));
    status_t status = judge_size(index, pack, &size);
    if (status == STATUS_OK)
        status = judge_pack(index, pack, compaction_dead_before_us(index), &living);
    free(living.offsets);
    if (status == STATUS_INVALID) {
        log_error("compaction.held", LOG_TEXT("pack", pack->text),
                  LOG_TEXT("reason", fail_detail()));
        return reprieve(index, pack);
    }
    if (status != STATUS_OK && status != STATUS_NOT_FOUND)
        return status;
    return living.count > 0 ? reprieve(index, pack) : pack_unlink(index, pack, size);
}

status_t compaction_remove(index_t *index)
{
    retired_t retired = {.count = 0};
    (void)index_lock(index, INT64_MAX);
    bool may = judge_may_work(index);
    status_t status = may ? compaction_clock_look(index) : STATUS_OK;
    if (may && status == STATUS_OK)
        status = retired_find(index, &retired);
    index_unlock(index);
    for (size_t i = 0; i < retired.count && status == STATUS_OK; i++)
        status = pack_remove(index, &retired.packs[i]);
    return status;
}
