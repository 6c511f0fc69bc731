#include "index/changes/changes.h"

#include "index/find/find.h"

#include "base/clock.h"
#include "base/memory.h"

#include <stdio.h>
#include <string.h>

enum {
    CHANGES_LIMIT_MAX = 1000, /* at most 400 bytes each: below 512 KiB */
    COMPLETE_BATCH = 500
};

status_t changes_last(database_t *database, char out_epoch[CHANGES_EPOCH_SIZE], uint64_t *out_last)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(database,
                         "SELECT COALESCE((SELECT value FROM settings WHERE name = 'epoch'), ''),"
                         " COALESCE((SELECT MAX(sequence) FROM changes), 0)",
                         &find));
    bool row = false;
    TRY(statement_step(find, &row));
    snprintf(out_epoch, CHANGES_EPOCH_SIZE, "%s", row ? statement_text(find, 0) : "");
    *out_last = row ? (uint64_t)statement_int64(find, 1) : 0;
    return STATUS_OK;
}

static Index__Change *change_make(statement_t *find)
{
    Index__Change *change = memory_allocate(sizeof *change);
    index__change__init(change);
    change->sequence = (uint64_t)statement_int64(find, 0);
    change->kind = memory_copy_text(statement_text(find, 1));
    change->study_instance_uid = memory_copy_text(statement_text(find, 2));
    change->series_instance_uid = memory_copy_text(statement_text(find, 3));
    change->sop_instance_uid = memory_copy_text(statement_text(find, 4));
    change->source = memory_copy_text(statement_text(find, 5));
    change->at_us = (uint64_t)statement_int64(find, 6);
    return change;
}

static status_t page_read(database_t *reader, uint64_t since, uint32_t limit,
                          Index__ChangeList *reply)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(reader,
                         "SELECT sequence, kind, study_instance_uid, series_instance_uid,"
                         " sop_instance_uid, source, at_us FROM changes WHERE sequence > $1"
                         " ORDER BY sequence LIMIT $2",
                         &find));
    statement_bind_int64(find, 1, (int64_t)since);
    statement_bind_int64(find, 2, limit);
    reply->changes = memory_allocate((limit + 1) * sizeof *reply->changes);
    for (bool row = true;;) {
        TRY(statement_step(find, &row));
        if (!row)
            return STATUS_OK;
        reply->changes[reply->n_changes++] = change_make(find);
    }
}

/* Everything in one snapshot: the epoch belongs to the numbers. */
static status_t list(database_t *reader, const Index__Changes *query, Index__ChangeList *reply)
{
    char epoch[CHANGES_EPOCH_SIZE];
    uint32_t limit =
        query->limit && query->limit < CHANGES_LIMIT_MAX ? query->limit : CHANGES_LIMIT_MAX;
    TRY(changes_last(reader, epoch, &reply->last));
    reply->epoch = memory_copy_text(epoch);
    uint64_t since = strcmp(query->epoch, epoch) == 0 ? query->since : 0;
    return page_read(reader, since < INT64_MAX ? since : INT64_MAX, limit, reply);
}

status_t changes_list(database_t *reader, const Index__Changes *query, Index__ChangeList *reply)
{
    if (!scope_sees_all(query->scope))
        return STATUS_OK;
    TRY(database_begin(reader));
    status_t status = list(reader, query, reply);
    database_rollback(reader);
    return status;
}
