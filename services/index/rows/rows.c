#include "index/rows/rows.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the transaction --------------------------------------------------------------------------- */

void rows_begin(rows_t *rows)
{
    rows->now_us = clock_wall_us();
    rows->sequence = rows->committed_sequence;
    rows->judged_pack.text[0] = 0;
    rows->study_count = rows->series_count = rows->source_count = rows->waste_count = 0;
    memset(rows->counters, 0, sizeof rows->counters);
}

status_t rows_commit(rows_t *rows)
{
    TRY(database_commit(rows->database));
    rows->committed_sequence = rows->sequence;
    return STATUS_OK;
}

status_t rows_lock_study(rows_t *rows, const char *study_instance_uid)
{
    if (locks_hold_study(&rows->locks, study_instance_uid))
        return STATUS_OK;
    if (rows->locks.count >= ROWS_LOCKS_MAX)
        return STATUS_OK; /* then the database finds out who waits in a circle, and it is BUSY */
    locks_add_study(&rows->locks, study_instance_uid);
    return fail(STATUS_BUSY, "the transaction needs one more study");
}

status_t rows_take_locks(rows_t *rows)
{
    locks_sort(&rows->locks);
    return database_lock(rows->database, rows->locks.keys, rows->locks.count);
}

void rows_destroy(rows_t *rows)
{
    locks_destroy(&rows->locks);
}

/* ---- sources ----------------------------------------------------------------------------------- */

static status_t source_write(rows_t *rows, const source_row_t *source)
{
    statement_t *upsert = NULL;
    TRY(database_prepare(rows->database,
                         "INSERT INTO sources (source, last_received_us, instances)"
                         " VALUES ($1, $2, $3) ON CONFLICT (source) DO UPDATE SET"
                         " instances = sources.instances + excluded.instances, last_received_us ="
                         " CASE WHEN sources.last_received_us < excluded.last_received_us"
                         " THEN excluded.last_received_us ELSE sources.last_received_us END",
                         &upsert));
    statement_bind_text(upsert, 1, source->source);
    statement_bind_int64(upsert, 2, source->last_received_us);
    statement_bind_int64(upsert, 3, source->instances);
    return statement_post(upsert);
}

static int source_compare(const void *a, const void *b)
{
    return strcmp(((const source_row_t *)a)->source, ((const source_row_t *)b)->source);
}

static status_t sources_flush(rows_t *rows)
{
    qsort(rows->sources, rows->source_count, sizeof *rows->sources, source_compare);
    for (size_t i = 0; i < rows->source_count; i++)
        TRY(source_write(rows, &rows->sources[i]));
    rows->source_count = 0;
    return STATUS_OK;
}

status_t rows_count_source(rows_t *rows, const char *source, int64_t received_us, int64_t instances)
{
    source_row_t *found = NULL;
    for (size_t i = 0; i < rows->source_count && !found; i++)
        if (strcmp(rows->sources[i].source, source) == 0)
            found = &rows->sources[i];
    if (!found && rows->source_count == ROWS_KNOWN_MAX)
        TRY(sources_flush(rows));
    if (!found) {
        found = &rows->sources[rows->source_count++];
        *found = (source_row_t){.instances = 0};
        snprintf(found->source, sizeof found->source, "%s", source);
    }
    found->instances += instances;
    if (found->last_received_us < received_us)
        found->last_received_us = received_us;
    return STATUS_OK;
}

/* ---- waste ------------------------------------------------------------------------------------- */

static status_t waste_write(rows_t *rows, const waste_row_t *waste)
{
    statement_t *upsert = NULL;
    TRY(database_prepare(rows->database,
                         "INSERT INTO waste (pack, records, bytes, since_us)"
                         " VALUES ($1, $2, $3, $4) ON CONFLICT (pack) DO UPDATE SET"
                         " records = waste.records + excluded.records,"
                         " bytes = waste.bytes + excluded.bytes",
                         &upsert));
    statement_bind_text(upsert, 1, waste->pack.text);
    statement_bind_int64(upsert, 2, waste->records);
    statement_bind_int64(upsert, 3, waste->bytes);
    statement_bind_int64(upsert, 4, rows->now_us);
    return statement_post(upsert);
}

static int waste_compare(const void *a, const void *b)
{
    return strcmp(((const waste_row_t *)a)->pack.text, ((const waste_row_t *)b)->pack.text);
}

static status_t waste_flush(rows_t *rows)
{
    qsort(rows->waste, rows->waste_count, sizeof *rows->waste, waste_compare);
    for (size_t i = 0; i < rows->waste_count; i++)
        TRY(waste_write(rows, &rows->waste[i]));
    rows->waste_count = 0;
    return STATUS_OK;
}

status_t rows_waste(rows_t *rows, const ulid_t *pack, int64_t bytes)
{
    waste_row_t *found = NULL;
    for (size_t i = 0; i < rows->waste_count && !found; i++)
        if (strcmp(rows->waste[i].pack.text, pack->text) == 0)
            found = &rows->waste[i];
    if (!found && rows->waste_count == ROWS_KNOWN_MAX)
        TRY(waste_flush(rows));
    if (!found) {
        found = &rows->waste[rows->waste_count++];
        *found = (waste_row_t){.pack = *pack};
    }
    found->records++;
    found->bytes += bytes;
    return STATUS_OK;
}

/* ---- counters ---------------------------------------------------------------------------------- */

static status_t counters_flush(rows_t *rows)
{
    static const struct {
        int counter;
        const char *name;
    } counters[] = {/* in the order of their names: so are the rows locked */
                    {COUNTER_BYTES, "bytes"},       {COUNTER_INSTANCES, "instances"},
                    {COUNTER_PATIENTS, "patients"}, {COUNTER_SERIES, "series"},
                    {COUNTER_STUDIES, "studies"},   {COUNTER_UNREADABLE, "unreadable"}};
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) {
        int64_t *delta = &rows->counters[counters[i].counter];
        if (*delta == 0)
            continue;
        statement_t *upsert = NULL;
        TRY(database_prepare(rows->database,
                             "INSERT INTO counters (name, value) VALUES ($1, $2)"
                             " ON CONFLICT (name) DO UPDATE SET"
                             " value = counters.value + excluded.value",
                             &upsert));
        statement_bind_text(upsert, 1, counters[i].name);
        statement_bind_int64(upsert, 2, *delta);
        TRY(statement_post(upsert));
        *delta = 0;
    }
    return STATUS_OK;
}

status_t rows_flush(rows_t *rows)
{
    TRY(rows_flush_parents(rows));
    TRY(sources_flush(rows));
    TRY(waste_flush(rows));
    return counters_flush(rows);
}
