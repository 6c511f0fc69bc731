#include "index/index.h"

#include "base/memory.h"

#include <string.h>

enum { SOURCES_MAX = 1000, CONFLICTS_MAX = 1000 };

static status_t counters_read(database_t *reader, Index__Statistics *reply)
{
    const struct {
        const char *name;
        uint64_t *value;
    } fields[] = {
        {"patients", &reply->patients},  {"studies", &reply->studies},
        {"series", &reply->series},      {"instances", &reply->instances},
        {"bytes", &reply->stored_bytes}, {"unreadable", &reply->unreadable},
    };
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(reader, "SELECT name, value FROM counters", &find));
    for (bool row = true;;) {
        TRY(statement_step(find, &row));
        if (!row)
            return STATUS_OK;
        for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
            if (strcmp(fields[i].name, statement_text(find, 0)) == 0)
                *fields[i].value = (uint64_t)statement_int64(find, 1);
    }
}

static status_t conflicts_count(database_t *reader, uint64_t *out_count)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(reader, "SELECT COUNT(*) FROM copies WHERE conflict = 1", &find));
    bool row = false;
    TRY(statement_step(find, &row));
    *out_count = row ? (uint64_t)statement_int64(find, 0) : 0;
    return STATUS_OK;
}

static status_t sources_read(database_t *reader, Index__Statistics *reply)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(reader,
                         "SELECT source, last_received_us, instances FROM sources"
                         " ORDER BY last_received_us DESC LIMIT $1",
                         &find));
    statement_bind_int64(find, 1, SOURCES_MAX);
    reply->sources = memory_allocate(SOURCES_MAX * sizeof *reply->sources);
    for (bool row = true; reply->n_sources < SOURCES_MAX;) {
        TRY(statement_step(find, &row));
        if (!row)
            break;
        Index__SourceSeen *seen = memory_allocate(sizeof *seen);
        index__source_seen__init(seen);
        seen->source = memory_copy_text(statement_text(find, 0));
        seen->last_received_us = (uint64_t)statement_int64(find, 1);
        seen->instances = (uint64_t)statement_int64(find, 2);
        reply->sources[reply->n_sources++] = seen;
    }
    return STATUS_OK;
}

status_t statistics_read(index_t *index, database_t *reader, Index__Statistics *reply)
{
    TRY(counters_read(reader, reply));
    TRY(conflicts_count(reader, &reply->conflicts));
    TRY(sources_read(reader, reply));
    reply->lag_bytes = (uint64_t)atomic_load(&index->lag_bytes);
    reply->rebuilding = atomic_load(&index->rebuilding);
    reply->rebuilt_instances = (uint64_t)atomic_load(&index->rebuilt_instances);
    return STATUS_OK;
}

status_t conflicts_list(database_t *reader, uint32_t limit, Index__ConflictList *reply)
{
    if (limit == 0 || limit > CONFLICTS_MAX)
        limit = CONFLICTS_MAX;
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(reader,
                         "SELECT sop_instance_uid, study_instance_uid, pack, record_offset,"
                         " received_us, source FROM copies WHERE conflict = 1"
                         " ORDER BY received_us DESC LIMIT $1",
                         &find));
    statement_bind_int64(find, 1, limit);
    reply->conflicts = memory_allocate(limit * sizeof *reply->conflicts);
    for (bool row = true; reply->n_conflicts < limit;) {
        TRY(statement_step(find, &row));
        if (!row)
            break;
        Index__Conflict *conflict = memory_allocate(sizeof *conflict);
        index__conflict__init(conflict);
        conflict->sop_instance_uid = memory_copy_text(statement_text(find, 0));
        conflict->study_instance_uid = memory_copy_text(statement_text(find, 1));
        conflict->pack = memory_copy_text(statement_text(find, 2));
        conflict->record_offset = (uint64_t)statement_int64(find, 3);
        conflict->received_us = (uint64_t)statement_int64(find, 4);
        conflict->source = memory_copy_text(statement_text(find, 5));
        reply->conflicts[reply->n_conflicts++] = conflict;
    }
    return STATUS_OK;
}
