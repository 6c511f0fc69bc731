#include "index/index.h"

#include "index/find/bookmark.h"
#include "index/rows/schema.h"
#include "log/log.h"

#include <stdio.h>
#include <string.h>

/*
 * The index is a view: dropped and read again from the packs. Rows do not depend on the order of
 * reading, so messages of living writers are taken in between, deletions and decisions too.
 * The setting "rebuilding" lasts until the end, also across a crash; every replica follows it, and
 * the first that finds all packs read ends it.
 */
enum { REBUILD_KEY = 2 };

static status_t clear(index_t *index)
{
    ulid_t epoch = ulid_make();
    char version[16];
    snprintf(version, sizeof version, "%d", EXTRACT_VERSION);
    TRY(schema_clear(index->writer));
    TRY(schema_set(index->writer, "epoch", epoch.text));
    TRY(schema_set(index->writer, "extract_version", version));
    return schema_set(index->writer, "rebuilding", "1");
}

/* One replica clears; another that starts meanwhile finds it done. */
static status_t begin_once(index_t *index, bool is_asked, bool *out_begun)
{
    const int64_t key = REBUILD_KEY;
    char version[16], wanted[16];
    TRY(database_lock(index->writer, &key, 1));
    TRY(schema_get(index->writer, "extract_version", version, sizeof version));
    snprintf(wanted, sizeof wanted, "%d", EXTRACT_VERSION);
    *out_begun = is_asked || strcmp(version, wanted) != 0;
    return *out_begun ? clear(index) : STATUS_OK;
}

static status_t begin(index_t *index, bool is_asked)
{
    bool begun = false;
    /* Packs whose writers live are read again as far as they were, with no word from the writers. */
    TRY(recover_remember(index));
    TRY(database_begin(index->writer));
    status_t status = begin_once(index, is_asked, &begun);
    if (status == STATUS_OK)
        status = database_commit(index->writer);
    if (status != STATUS_OK) {
        database_rollback(index->writer);
        return status;
    }
    if (begun)
        log_info("rebuild.started");
    return rebuild_follow(index);
}

status_t rebuild_follow(index_t *index)
{
    char rebuilding[8];
    TRY(schema_get(index->writer, "rebuilding", rebuilding, sizeof rebuilding));
    bool now = strcmp(rebuilding, "1") == 0;
    if (now)
        bookmarks_forget();
    if (now && !atomic_load(&index->rebuilding))
        atomic_store(&index->rebuilt_instances, 0);
    atomic_store(&index->rebuilding, now);
    return STATUS_OK;
}

status_t rebuild_start(index_t *index)
{
    if (atomic_load(&index->replay_runs))
        return fail(STATUS_BUSY, "packs are being read already");
    TRY(begin(index, true));
    return recover_start(index);
}

status_t rebuild_finish(index_t *index)
{
    if (!atomic_load(&index->rebuilding))
        return STATUS_OK;
    TRY(schema_set(index->writer, "rebuilding", ""));
    bookmarks_forget(); /* also those of a query that ran while the rows went */
    atomic_store(&index->rebuilding, false);
    log_info("rebuild.done", LOG_NUMBER("records", atomic_load(&index->rebuilt_instances)));
    return STATUS_OK;
}

status_t rebuild_prepare(index_t *index)
{
    return begin(index, false); /* also the first start: there is nothing yet to drop */
}
