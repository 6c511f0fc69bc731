
#include "base/clock.h"
#include "base/memory.h"
#include "index/compaction/compaction.h"
#include "index/index.h"
#include "index/rows/schema.h"
#include "log/log.h"
#include "service/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static metric_t unrecovered_total =
    METRIC_COUNTER("zpacs_index_unrecovered_total", "Packs that could not be recovered.");

#ifdef __SANITIZE_THREAD__ /* gcc 12's does not know pthread_mutex_clocklock(), and is told */
enum { TRIED = 1 << 4 };
void __tsan_mutex_pre_lock(void *mutex, unsigned flags);
void __tsan_mutex_post_lock(void *mutex, unsigned flags, int recursion);

static void say_locked(pthread_mutex_t *mutex)
{
    __tsan_mutex_pre_lock(mutex, TRIED);
    __tsan_mutex_post_lock(mutex, TRIED, 0);
}
#else
#define say_locked(mutex) ((void)(mutex))
#endif

bool index_lock(index_t *index, int64_t deadline_ms)
{
    if (deadline_ms == INT64_MAX)
        return pthread_mutex_lock(&index->writing) == 0;
    struct timespec until = {.tv_sec = deadline_ms / 1000, .tv_nsec = deadline_ms % 1000 * 1000000};
    if (pthread_mutex_clocklock(&index->writing, CLOCK_MONOTONIC, &until) != 0)
        return false;
    say_locked(&index->writing);
    return true;
}

void index_unlock(index_t *index)
{
    pthread_mutex_unlock(&index->writing);
}

void index_yield(index_t *index)
{
    if (!atomic_load(&index->replay_runs) || !pthread_equal(pthread_self(), index->replay))
        return;
    index_unlock(index);
    usleep(100); /* a mutex is not fair: the others get a moment to take it */
    (void)index_lock(index, INT64_MAX);
}

/* ---- files ------------------------------------------------------------------------------------- */

static status_t folder_make(const char *path)
{
    return mkdir(path, 0700) && errno != EEXIST
               ? fail(STATUS_UNAVAILABLE, "%s: %s", path, strerror(errno))
               : STATUS_OK;
}

void index_pause(index_t *index)
{
    enum { PAUSE_US = 200 * 1000 };
    index_unlock(index);
    usleep(PAUSE_US);
    (void)index_lock(index, INT64_MAX);
}

/* <folder>/lock: a second writer of the same SQLite file would damage it, and two replicas of one
 * name would take each other's packs for their own. */
static status_t lock_take(index_t *index)
{
    AUTO_FREE char *path = memory_format("%s/lock", index->folder);
    index->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (index->lock_fd < 0)
        return fail(STATUS_UNAVAILABLE, "%s: %s", path, strerror(errno));
    if (flock(index->lock_fd, LOCK_EX | LOCK_NB))
        return fail(STATUS_BUSY, "another index runs on %s", index->folder);
    return STATUS_OK;
}

/* A damaged database is put aside: all it said stands in the packs. */
static void database_put_aside(const index_t *index)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < 3; i++) {
        AUTO_FREE char *from = memory_format("%s%s", index->location, suffixes[i]);
        AUTO_FREE char *to = memory_format("%s.damaged%s", index->location, suffixes[i]);
        (void)rename(from, to);
    }
}

static status_t database_try(index_t *index)
{
    TRY(database_open(index->location, false, &index->writer));
    bool all = true;
    status_t status = database_migrate(index->writer, schema_migrations);
    if (status == STATUS_OK)
        status = database_migrate_optional(index->writer, schema_optional, &all);
    if (!all)
        log_warning("database.optional_refused", LOG_TEXT("reason", fail_detail()));
    if (status != STATUS_OK)
        database_close(&index->writer);
    return status;
}

static status_t database_start(index_t *index)
{
    status_t status = database_try(index);
    if (status == STATUS_INTERNAL && !*index->config->index_database) {
        log_error("database.damaged", LOG_TEXT("reason", fail_detail()));
        database_put_aside(index);
        status = database_try(index);
    }
    return status;
}

/* ---- what the last run died of ----------------------------------------------------------------- */

static status_t attempt_count(index_t *index, const ulid_t *pack, uint64_t offset)
{
    statement_t *upsert = NULL;
    log_error("record.crashed", LOG_TEXT("pack", pack->text), LOG_NUMBER("offset", offset));
    TRY(database_prepare(index->writer,
                         "INSERT INTO attempts (pack, record_offset, attempts) VALUES ($1, $2, 1)"
                         " ON CONFLICT (pack, record_offset) DO UPDATE SET"
                         " attempts = attempts.attempts + 1",
                         &upsert));
    statement_bind_text(upsert, 1, pack->text);
    statement_bind_int64(upsert, 2, (int64_t)offset);
    return statement_run(upsert);
}

static status_t attempts_start(index_t *index)
{
    AUTO_FREE char *path = memory_format("%s/progress", index->folder);
    ulid_t pack;
    uint64_t offset = 0;
    TRY(progress_open(path, &index->progress, &pack, &offset));
    if (*pack.text)
        TRY(attempt_count(index, &pack, offset));
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(index->writer, "SELECT COUNT(*) FROM attempts", &find));
    bool row = false;
    TRY(statement_step(find, &row));
    index->has_attempts = row && statement_int64(find, 0) > 0;
    return STATUS_OK;
}

/* ---- start and stop ---------------------------------------------------------------------------- */

void index_taken_over(void *context, const ulid_t *pack, uint64_t durable)
{
    if (durable == 0) {
        log_error("pack.unrecovered", LOG_TEXT("pack", pack->text),
                  LOG_TEXT("detail", fail_detail()));
        metric_add(&unrecovered_total, 1);
        return;
    }
    log_info("pack.taken_over", LOG_TEXT("pack", pack->text), LOG_NUMBER("durable", durable));
    recover_announce(context, pack, durable);
}

static status_t start(index_t *index)
{
    const char *data = index->config->service.data;
    AUTO_FREE char *parent = memory_format("%s/index", data);
    TRY(folder_make(parent));
    TRY(folder_make(index->folder));
    TRY(lock_take(index));
    TRY(pack_store_open(data, &index->store));
    TRY(database_start(index));
    index->rows.database = index->writer;
    index->rows.store = index->store;
    TRY(attempts_start(index));
    TRY(changes_elect(&index->rows));
    TRY(rebuild_prepare(index));
    TRY(pack_pool_open(data, &index->pool, index_taken_over, index));
    pack_pool_seal_after(index->pool, index->config->pack_open_seconds * 1000);
    reserve_start(index);
    atomic_store(&index->database_ok, true);
    atomic_store(&index->lane_alive_ms, clock_monotonic_ms());
    return recover_start(index);
}

/* Who we are, and where our things are. */
static void names_choose(index_t *index)
{
    const index_config_t *config = index->config;
    char host[HOST_NAME_MAX + 1] = "index";
    (void)gethostname(host, sizeof host - 1);
    index->replica = memory_copy_text(*config->replica ? config->replica : host);
    if (*config->index_database) {
        index->folder = memory_format("%s/index/%s", config->service.data, index->replica);
        index->location = memory_copy_text(config->index_database);
    } else {
        index->folder = memory_format("%s/index", config->service.data);
        index->location = memory_format("%s/index.db", index->folder);
    }
}

status_t index_open(const index_config_t *config, index_t **out_index)
{
    index_t *index = memory_allocate(sizeof *index);
    index->config = config;
    index->lock_fd = -1;
    index->batch = memory_allocate(sizeof *index->batch);
    names_choose(index);
    compaction_clock_start(index);
    pthread_mutex_init(&index->writing, NULL);
    status_t status = start(index);
    if (status == STATUS_OK)
        *out_index = index;
    else
        index_close(&index);
    return status;
}

void index_close(index_t **closed)
{
    index_t *index = *closed;
    if (!index)
        return;
    atomic_store(&index->stopping, true);
    if (index->compactor_runs)
        pthread_join(index->compactor, NULL);
    if (index->replay)
        pthread_join(index->replay, NULL);
    wire_publisher_t *doorbell = atomic_exchange(&index->doorbell, NULL);
    wire_publisher_close(&doorbell);
    if (index->pool)
        pack_pool_close(&index->pool);
    pack_reserve_close(&index->reserve);
    if (index->writer) {
        if (index->rows.is_numbering)
            (void)schema_set(index->writer, "clean", "1");
        database_checkpoint(index->writer);
    }
    database_close(&index->writer);
    if (index->store)
        pack_store_close(&index->store);
    progress_close(&index->progress);
    entry_destroy(&index->entry);
    batch_destroy(&index->batch);
    rows_destroy(&index->rows);
    if (index->lock_fd >= 0)
        close(index->lock_fd);
    pthread_mutex_destroy(&index->writing);
    free(index->replica);
    free(index->folder);
    free(index->location);
    free(index);
    *closed = NULL;
}
