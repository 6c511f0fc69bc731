#include "index/index.h"

#include "base/memory.h"

#include <stdio.h>
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

/* ---- conflicts --------------------------------------------------------------------------------- */

/* Where a page begins: behind this record. */
typedef struct {
    int64_t received_us, record_offset;
    ulid_t pack;
} place_t;

enum { PLACE_SIZE = 80 };

static status_t place_read(const char *text, place_t *out_place)
{
    long long received_us = INT64_MAX, record_offset = 0;
    char end = 0;
    *out_place = (place_t){.received_us = INT64_MAX};
    if (!*text)
        return STATUS_OK;
    if (strlen(text) >= PLACE_SIZE || sscanf(text, "%lld %26[0-9A-Z] %lld%c", &received_us,
                                             out_place->pack.text, &record_offset, &end) != 3)
        return fail(STATUS_INVALID, "no place in the list of conflicts");
    out_place->received_us = received_us;
    out_place->record_offset = record_offset;
    return STATUS_OK;
}

static Index__Conflict *conflict_make(statement_t *find)
{
    Index__Conflict *conflict = memory_allocate(sizeof *conflict);
    index__conflict__init(conflict);
    conflict->sop_instance_uid = memory_copy_text(statement_text(find, 0));
    conflict->study_instance_uid = memory_copy_text(statement_text(find, 1));
    conflict->pack = memory_copy_text(statement_text(find, 2));
    conflict->record_offset = (uint64_t)statement_int64(find, 3);
    conflict->received_us = (uint64_t)statement_int64(find, 4);
    conflict->source = memory_copy_text(statement_text(find, 5));
    conflict->origin_pack = memory_copy_text(statement_text(find, 6));
    conflict->origin_sequence = (uint64_t)statement_int64(find, 7);
    conflict->series_instance_uid = memory_copy_text(statement_text(find, 8));
    return conflict;
}

status_t conflicts_list(database_t *reader, const Index__ListConflicts *query,
                        Index__ConflictList *reply)
{
    uint32_t limit =
        query->limit == 0 || query->limit > CONFLICTS_MAX ? CONFLICTS_MAX : query->limit;
    place_t place;
    TRY(place_read(query->after, &place));
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(reader,
                         "SELECT sop_instance_uid, study_instance_uid, pack, record_offset,"
                         " received_us, source, origin_pack, origin_sequence, series_instance_uid"
                         " FROM copies WHERE conflict = 1"
                         " AND (received_us, pack, record_offset) < ($1, $2, $3)"
                         " ORDER BY received_us DESC, pack DESC, record_offset DESC LIMIT $4",
                         &find));
    statement_bind_int64(find, 1, place.received_us);
    statement_bind_text(find, 2, place.pack.text);
    statement_bind_int64(find, 3, place.record_offset);
    statement_bind_int64(find, 4, (int64_t)limit + 1); /* one more: whether there is a next page */
    reply->conflicts = memory_allocate(limit * sizeof *reply->conflicts);
    for (bool row = true;;) {
        TRY(statement_step(find, &row));
        if (!row)
            return STATUS_OK;
        if (reply->n_conflicts == limit)
            break;
        reply->conflicts[reply->n_conflicts++] = conflict_make(find);
    }
    const Index__Conflict *last = reply->conflicts[limit - 1];
    reply->next = memory_format("%llu %s %llu", (unsigned long long)last->received_us, last->pack,
                                (unsigned long long)last->record_offset);
    return STATUS_OK;
}
