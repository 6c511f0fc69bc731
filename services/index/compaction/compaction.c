#include "index/compaction/compaction.h"

#include "base/clock.h"
#include "base/memory.h"
#include "index/compaction/judge.h"
#include "log/log.h"
#include "pack/compact.h"
#include "service/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    WASTE_PERCENT = 25 /* of a pack: then its duplicates and what has moved are worth a copy */
};

static metric_t compacted_total =
    METRIC_COUNTER("zpacs_index_packs_compacted_total", "Packs whose living records were copied.");
static metric_t copied_bytes_total =
    METRIC_COUNTER("zpacs_index_compacted_bytes_total", "Dataset bytes copied by compaction.");
static metric_t held_total =
    METRIC_COUNTER("zpacs_index_packs_held_total", "Packs that could not be compacted.");

/* ---- choosing ---------------------------------------------------------------------------------- */

/* Of a pack: sealed, read to its end, and not on its way out. */
#define IS_READY                                                                                   \
    "p.sealed = 1 AND p.retired_us = 0 AND " COMPACTION_IS_FREE("p.held_until_us", "$2", "$4")

static status_t choose(index_t *index, const char *sql, int64_t first, int64_t second,
                       compaction_job_t *job)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(index->writer, sql, &find));
    statement_bind_int64(find, 1, first);
    statement_bind_int64(find, 2, compaction_now_us(index));
    statement_bind_int64(find, 3, second);
    statement_bind_int64(find, 4, compaction_now_us(index) + COMPACTION_HELD_US);
    job->count = 0;
    for (bool row = true; job->count < COMPACTION_PACKS_MAX;) {
        TRY(statement_step(find, &row));
        if (!row)
            return STATUS_OK;
        compaction_pack_t *pack = &job->packs[job->count++];
        *pack = (compaction_pack_t){.is_done = false};
        snprintf(pack->pack.text, sizeof pack->pack.text, "%s", statement_text(find, 0));
    }
    return STATUS_OK;
}

int64_t compaction_dead_before_us(const index_t *index)
{
    return compaction_now_us(index) - index->config->compact_after_seconds * 1000000;
}

static status_t choose_dead(index_t *index, compaction_job_t *job)
{
    return choose(index,
                  "SELECT p.pack FROM packs p WHERE " IS_READY " AND EXISTS (SELECT 1 FROM buried b"
                  " WHERE b.pack = p.pack AND b.since_us <= $1) AND $3 = 0 ORDER BY p.pack",
                  compaction_dead_before_us(index), 0, job);
}

/* Not before an undelete is over: then its dead records go, too. */
static status_t choose_wasteful(index_t *index, compaction_job_t *job)
{
    return choose(
        index,
        "SELECT p.pack FROM waste w JOIN packs p ON p.pack = w.pack WHERE " IS_READY
        " AND w.since_us <= $1 AND (w.bytes + w.records * 4096) * 100 >= p.committed_offset * $3"
        " ORDER BY p.pack",
        compaction_dead_before_us(index), WASTE_PERCENT, job);
}

/*
 * In tiers, each sixteen times the one below: a merged pack is of the next one, so a record is copied
 * once for each tier and not again with every few small packs that come.
 */
static status_t choose_small(index_t *index, compaction_job_t *job)
{
    static const int64_t tiers[] = {0, 256 * 1024, 4 * 1024 * 1024, 64 * 1024 * 1024};
    job->is_merge = true;
    for (size_t i = 0; i + 1 < sizeof tiers / sizeof *tiers; i++) {
        TRY(choose(index,
                   "SELECT p.pack FROM packs p WHERE " IS_READY " AND p.committed_offset > $1"
                   " AND p.committed_offset <= $3 ORDER BY p.pack",
                   tiers[i], tiers[i + 1], job));
        if (job->count >= COMPACTION_SMALL_COUNT)
            return STATUS_OK;
    }
    job->count = 0;
    return STATUS_OK;
}

status_t compaction_choose(index_t *index, compaction_job_t *out_job)
{
    memset(out_job, 0, sizeof *out_job);
    (void)index_lock(index, INT64_MAX);
    status_t status = STATUS_OK;
    bool may = judge_may_work(index);
    if (may)
        status = compaction_clock_look(index);
    if (may && status == STATUS_OK)
        status = choose_dead(index, out_job);
    if (may && status == STATUS_OK && out_job->count == 0)
        status = choose_wasteful(index, out_job);
    if (may && status == STATUS_OK && out_job->count == 0)
        status = choose_small(index, out_job);
    index_unlock(index);
    return status;
}

/* ---- copying ----------------------------------------------------------------------------------- */

static status_t run_with_pack(index_t *index, const char *sql, const ulid_t *pack, int64_t at_us)
{
    statement_t *statement = NULL;
    TRY(database_prepare(index->writer, sql, &statement));
    statement_bind_text(statement, 1, pack->text);
    if (at_us)
        statement_bind_int64(statement, 2, at_us);
    return statement_run(statement);
}

/* It stays as it is: somebody has to look at it. */
static status_t hold_back(index_t *index, compaction_pack_t *pack)
{
    log_error("compaction.held", LOG_TEXT("pack", pack->pack.text),
              LOG_TEXT("reason", fail_detail()));
    metric_add(&held_total, 1);
    pack->is_done = true;
    (void)index_lock(index, INT64_MAX);
    status_t status = run_with_pack(index, "UPDATE packs SET held_until_us = $2 WHERE pack = $1",
                                    &pack->pack, compaction_now_us(index) + COMPACTION_HELD_US);
    index_unlock(index);
    return status;
}

static status_t leave_alone(index_t *index, compaction_pack_t *pack)
{
    pack->is_done = true;
    (void)index_lock(index, INT64_MAX);
    status_t status = run_with_pack(index, "DELETE FROM waste WHERE pack = $1", &pack->pack, 0);
    index_unlock(index);
    return status;
}

static status_t copy_pack(index_t *index, compaction_job_t *job, compaction_pack_t *pack,
                          pack_compact_t *compact)
{
    living_t living = {0};
    status_t status = judge_pack(index, &pack->pack, compaction_dead_before_us(index), &living);
    if (status == STATUS_OK && living.dead == 0 && !job->is_merge)
        status = leave_alone(index, pack);
    else if (status == STATUS_OK && living.count > 0)
        status = pack_compact_copy(compact, &pack->pack, living.offsets, living.count);
    free(living.offsets);
    if (status == STATUS_INVALID || status == STATUS_NOT_FOUND)
        status = hold_back(index, pack);
    return status;
}

static status_t copy_packs(index_t *index, compaction_job_t *job, pack_compact_t *compact)
{
    for (size_t i = 0; i < job->count; i++) {
        if (pack_compact_is_full(compact)) {
            job->count = i; /* the others have their turn in the next round */
            break;
        }
        TRY(copy_pack(index, job, &job->packs[i], compact));
    }
    return STATUS_OK;
}

status_t compaction_copy(index_t *index, compaction_job_t *job)
{
    pack_compact_t *compact = NULL;
    pack_compacted_t done = {.records = 0};
    pack_compact_options_t options = {.bytes_per_second =
                                          (uint64_t)index->config->compact_bytes_per_second,
                                      .stop = &index->stopping};
    TRY(pack_compact_begin(index->config->service.data, &options, &compact));
    status_t status = copy_packs(index, job, compact);
    if (status != STATUS_OK) {
        AUTO_FREE char *detail = memory_copy_text(fail_detail());
        pack_compact_cancel(&compact);
        return fail(status, "%s", detail);
    }
    TRY(pack_compact_finish(&compact, &done));
    job->made = done.pack;
    job->copied_records = done.records;
    job->copied_bytes = done.dataset_bytes;
    metric_add(&copied_bytes_total, (int64_t)done.dataset_bytes);
    return STATUS_OK;
}

/* ---- taking in --------------------------------------------------------------------------------- */

static status_t made_read(index_t *index, const ulid_t *pack)
{
    uint64_t size = 0, committed = 0;
    if (!*pack->text)
        return STATUS_OK;
    TRY(judge_size(index, pack, &size));
    TRY(ingest_pack(index, pack, size, &committed));
    return committed == size ? STATUS_OK : fail(STATUS_BUSY, "the new pack is not read to its end");
}

static status_t retire(index_t *index, const compaction_job_t *job)
{
    for (size_t i = 0; i < job->count; i++) {
        if (job->packs[i].is_done)
            continue;
        TRY(run_with_pack(index,
                          "UPDATE packs SET retired_us = $2 WHERE pack = $1 AND retired_us = 0",
                          &job->packs[i].pack, compaction_now_us(index)));
        TRY(run_with_pack(index, "DELETE FROM waste WHERE pack = $1", &job->packs[i].pack, 0));
        metric_add(&compacted_total, 1);
    }
    return STATUS_OK;
}

static status_t retire_all(index_t *index, const compaction_job_t *job)
{
    TRY(made_read(index, &job->made));
    TRY(database_begin(index->writer));
    status_t status = retire(index, job);
    if (status == STATUS_OK)
        status = database_commit(index->writer);
    if (status != STATUS_OK)
        database_rollback(index->writer);
    return status;
}

status_t compaction_take_in(index_t *index, const compaction_job_t *job)
{
    (void)index_lock(index, INT64_MAX);
    /* If not now: the new pack is found like any other, and its old ones are chosen once more. */
    status_t status = judge_may_work(index) ? retire_all(index, job)
                                            : fail(STATUS_EXPIRED, "compaction has to wait");
    index_unlock(index);
    return status;
}

/* ---- the round, and its thread ----------------------------------------------------------------- */

static status_t compact(index_t *index)
{
    compaction_job_t job;
    int64_t begin_ms = clock_monotonic_ms();
    TRY(compaction_choose(index, &job));
    if (job.count == 0)
        return STATUS_OK;
    TRY(compaction_copy(index, &job));
    TRY(compaction_take_in(index, &job));
    log_info("compaction.done", LOG_NUMBER("packs", job.count), LOG_TEXT("made", job.made.text),
             LOG_NUMBER("records", job.copied_records), LOG_NUMBER("bytes", job.copied_bytes),
             LOG_NUMBER("duration_ms", clock_monotonic_ms() - begin_ms));
    return STATUS_OK;
}

status_t compaction_round(index_t *index)
{
    status_t removed = compaction_remove(index);
    status_t status = compact(index);
    return status != STATUS_OK ? status : removed;
}

/* false: the index is stopping. */
static bool rest(index_t *index, int64_t duration_ms)
{
    enum { STEP_MS = 50 };
    for (int64_t end_ms = clock_monotonic_ms() + duration_ms;
         !atomic_load(&index->stopping) && clock_monotonic_ms() < end_ms;)
        nanosleep(&(struct timespec){0, STEP_MS * 1000000}, NULL);
    return !atomic_load(&index->stopping);
}

static void *compaction_main(void *context)
{
    enum { REST_MS = 2000, LONG_REST_MS = 60 * 1000 };
    index_t *index = context;
    status_t status = STATUS_OK;
    while (rest(index, status == STATUS_OK ? REST_MS : LONG_REST_MS)) {
        status = compaction_round(index);
        if (status == STATUS_EXPIRED || status == STATUS_BUSY)
            status = STATUS_OK; /* not now: soon again */
        if (status != STATUS_OK)
            log_error("compaction.failed", LOG_TEXT("status", status_name(status)),
                      LOG_TEXT("reason", fail_detail()));
    }
    return NULL;
}

status_t compaction_start(index_t *index)
{
    if (pthread_create(&index->compactor, NULL, compaction_main, index) != 0)
        return fail(STATUS_UNAVAILABLE, "no thread for compaction");
    index->compactor_runs = true;
    return STATUS_OK;
}
