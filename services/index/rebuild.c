#include "index/index.h"

#include "index/schema.h"
#include "log/log.h"

#include <stdio.h>
#include <string.h>

/*
 * The index is a view: dropped and read again from the packs. Rows do not depend on the order of
 * reading, so messages of living writers are taken in between, deletions and decisions too.
 * The setting "rebuilding" lasts until the end, also across a crash.
 */
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

static status_t begin(index_t *index)
{
    /* Packs whose writers live are read again as far as they were, with no word from the writers. */
    TRY(recover_remember(index));
    TRY(database_begin(index->writer));
    status_t status = clear(index);
    if (status == STATUS_OK)
        status = database_commit(index->writer);
    if (status != STATUS_OK) {
        database_rollback(index->writer);
        return status;
    }
    atomic_store(&index->rebuilt_instances, 0);
    atomic_store(&index->rebuilding, true);
    log_info("rebuild.started");
    return STATUS_OK;
}

status_t rebuild_start(index_t *index)
{
    if (atomic_load(&index->replay_runs))
        return fail(STATUS_BUSY, "packs are being read already");
    TRY(begin(index));
    return recover_start(index);
}

status_t rebuild_finish(index_t *index)
{
    if (!atomic_load(&index->rebuilding))
        return STATUS_OK;
    TRY(schema_set(index->writer, "rebuilding", ""));
    atomic_store(&index->rebuilding, false);
    log_info("rebuild.done", LOG_NUMBER("records", atomic_load(&index->rebuilt_instances)));
    return STATUS_OK;
}

/* After a loss of power the last changes may be gone, and their numbers would be given again. */
static status_t epoch_check(index_t *index)
{
    char boot[64] = "", now[64] = "", clean[8];
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (file) {
        if (!fgets(now, sizeof now, file))
            now[0] = 0;
        fclose(file);
    }
    now[strcspn(now, "\n")] = 0;
    TRY(schema_get(index->writer, "boot", boot, sizeof boot));
    TRY(schema_get(index->writer, "clean", clean, sizeof clean));
    if (strcmp(boot, now) != 0 && strcmp(clean, "1") != 0)
        TRY(schema_set(index->writer, "epoch", ulid_make().text));
    TRY(schema_set(index->writer, "boot", now));
    return schema_set(index->writer, "clean", "");
}

status_t rebuild_prepare(index_t *index)
{
    char version[16], rebuilding[8];
    TRY(epoch_check(index));
    TRY(schema_get(index->writer, "extract_version", version, sizeof version));
    TRY(schema_get(index->writer, "rebuilding", rebuilding, sizeof rebuilding));
    char wanted[16];
    snprintf(wanted, sizeof wanted, "%d", EXTRACT_VERSION);
    if (strcmp(version, wanted) != 0)
        return begin(index); /* also the first start: there is nothing yet to drop */
    atomic_store(&index->rebuilding, strcmp(rebuilding, "1") == 0);
    return STATUS_OK;
}
