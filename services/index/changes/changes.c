#include "index/changes/changes.h"

#include "base/memory.h"
#include "index/rows/schema.h"
#include "log/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NUMBERED_BATCH = 1000, /* of others' changes, in one transaction */
    COMPLETE_BATCH = 500,
    ELECTION_KEY = 1,      /* a hash of identifiers (locks.h) is that in no practice */
    SEQUENCE_GAP = 1 << 20 /* wider than what the end of a database can lose */
};

/* ---- numbers ----------------------------------------------------------------------------------- */

static status_t last_read(rows_t *rows, int64_t *out_last)
{
    char floor[24];
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(rows->database, "SELECT COALESCE(MAX(sequence), 0) FROM changes", &find));
    bool row = false;
    TRY(statement_step(find, &row));
    *out_last = row ? statement_int64(find, 0) : 0;
    TRY(schema_get(rows->database, "sequence_floor", floor, sizeof floor));
    int64_t least = strtoll(floor, NULL, 10);
    if (*out_last < least)
        *out_last = least;
    return STATUS_OK;
}

static status_t sequence_next(rows_t *rows, int64_t *out_sequence)
{
    if (rows->sequence == 0)
        TRY(last_read(rows, &rows->sequence));
    *out_sequence = ++rows->sequence;
    return STATUS_OK;
}

status_t rows_change(rows_t *rows, const char *kind, const char *study, const char *series,
                     const char *sop, const char *source)
{
    int64_t sequence = 0;
    if (rows->is_numbering)
        TRY(sequence_next(rows, &sequence));
    statement_t *insert = NULL;
    TRY(database_prepare(rows->database,
                         "INSERT INTO changes (kind, study_instance_uid, series_instance_uid,"
                         " sop_instance_uid, source, at_us, sequence)"
                         " VALUES ($1, $2, $3, $4, $5, $6, $7)",
                         &insert));
    const char *const texts[] = {kind, study, series, sop};
    for (int i = 0; i < 4; i++)
        statement_bind_text(insert, i + 1, texts[i]);
    statement_bind_text_n(insert, 5, source, strnlen(source, SOURCE_MAX));
    statement_bind_int64(insert, 6, rows->now_us);
    if (sequence)
        statement_bind_int64(insert, 7, sequence);
    else
        statement_bind_null(insert, 7);
    return statement_post(insert);
}

/* ---- survivors --------------------------------------------------------------------------------- */

typedef struct {
    uid_text_t series, sop;
    char source[SOURCE_MAX];
    bool unreadable;
} survivor_t;

static status_t survivors_find(rows_t *rows, const char *study, const char *series, const char *sop,
                               survivor_t **out_survivors, size_t *out_count)
{
    AUTO_STATEMENT *find = NULL;
    size_t capacity = 0;
    TRY(database_prepare(rows->database,
                         "SELECT e.series_instance_uid, i.sop_instance_uid, i.source, i.unreadable"
                         " FROM studies s JOIN series e ON e.study = s.id"
                         " JOIN instances i ON i.series = e.id WHERE s.study_instance_uid = $1"
                         " AND ($2 = '' OR e.series_instance_uid = $2)"
                         " AND ($3 = '' OR i.sop_instance_uid = $3) ORDER BY i.id",
                         &find));
    statement_bind_text(find, 1, study);
    statement_bind_text(find, 2, series);
    statement_bind_text(find, 3, sop);
    for (bool row = true;;) {
        TRY(statement_step(find, &row));
        if (!row)
            return STATUS_OK;
        if (*out_count == capacity) {
            capacity = capacity ? 2 * capacity : 64;
            *out_survivors = memory_resize(*out_survivors, capacity * sizeof **out_survivors);
        }
        survivor_t *survivor = &(*out_survivors)[(*out_count)++];
        snprintf(survivor->series, sizeof(uid_text_t), "%s", statement_text(find, 0));
        snprintf(survivor->sop, sizeof(uid_text_t), "%s", statement_text(find, 1));
        snprintf(survivor->source, sizeof survivor->source, "%s", statement_text(find, 2));
        survivor->unreadable = statement_int64(find, 3) != 0;
    }
}

status_t rows_change_survivors(rows_t *rows, const char *study, const char *series, const char *sop)
{
    AUTO_FREE survivor_t *survivors = NULL;
    size_t count = 0;
    TRY(survivors_find(rows, study, series, sop, &survivors, &count));
    for (size_t i = 0; i < count; i++)
        TRY(rows_change(rows, survivors[i].unreadable ? "instance.unreadable" : "instance.stored",
                        study, survivors[i].series, survivors[i].sop, survivors[i].source));
    return STATUS_OK;
}

/* ---- numbering what others wrote --------------------------------------------------------------- */

static status_t unnumbered_find(rows_t *rows, int64_t *out_ids, size_t *out_count)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(rows->database,
                         "SELECT id FROM changes WHERE sequence IS NULL ORDER BY id LIMIT $1",
                         &find));
    statement_bind_int64(find, 1, NUMBERED_BATCH);
    *out_count = 0;
    for (bool row = true; *out_count < NUMBERED_BATCH;) {
        TRY(statement_step(find, &row));
        if (!row)
            break;
        out_ids[(*out_count)++] = statement_int64(find, 0);
    }
    return STATUS_OK;
}

status_t changes_number(rows_t *rows)
{
    int64_t ids[NUMBERED_BATCH], sequence = 0;
    size_t count = 0;
    TRY(unnumbered_find(rows, ids, &count));
    for (size_t i = 0; i < count; i++) {
        statement_t *update = NULL;
        TRY(sequence_next(rows, &sequence));
        TRY(database_prepare(rows->database, "UPDATE changes SET sequence = $1 WHERE id = $2",
                             &update));
        statement_bind_int64(update, 1, sequence);
        statement_bind_int64(update, 2, ids[i]);
        TRY(statement_post(update));
    }
    return STATUS_OK;
}

/* ---- the election ------------------------------------------------------------------------------ */

/* "clean" tells that the last elected one ended in peace: then nothing was lost. */
static status_t floor_raise(rows_t *rows)
{
    char clean[8], floor[24];
    int64_t last = 0;
    TRY(schema_get(rows->database, "clean", clean, sizeof clean));
    TRY(schema_set(rows->database, "clean", ""));
    if (strcmp(clean, "1") == 0)
        return STATUS_OK;
    TRY(last_read(rows, &last));
    snprintf(floor, sizeof floor, "%" PRId64, last ? last + SEQUENCE_GAP : 0);
    return schema_set(rows->database, "sequence_floor", floor);
}

void changes_check(rows_t *rows)
{
    uint64_t session = database_session(rows->database);
    if (session == rows->session)
        return;
    rows->is_numbering = false;
    rows->sequence = rows->committed_sequence = 0;
    rows->session = session;
}

status_t changes_elect(rows_t *rows)
{
    bool is_elected = false;
    status_t status = database_try_lock(rows->database, ELECTION_KEY, &is_elected);
    changes_check(rows);
    if (status == STATUS_OK && is_elected && !rows->is_numbering) {
        rows->sequence = rows->committed_sequence = 0; /* others may have numbered */
        status = floor_raise(rows);
        if (status == STATUS_OK)
            log_info("changes.elected");
    }
    rows->is_numbering = status == STATUS_OK && is_elected;
    return status;
}

/* ---- study.complete ---------------------------------------------------------------------------- */

typedef struct {
    int64_t id;
    uid_text_t uid;
} stable_t;

static status_t stable_find(rows_t *rows, int64_t before_us, stable_t *out_stable,
                            size_t *out_count)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(rows->database,
                         "SELECT id, study_instance_uid FROM studies WHERE complete = 0"
                         " AND changed_us < $1 ORDER BY changed_us LIMIT $2",
                         &find));
    statement_bind_int64(find, 1, before_us);
    statement_bind_int64(find, 2, COMPLETE_BATCH);
    *out_count = 0;
    for (bool row = true; *out_count < COMPLETE_BATCH;) {
        TRY(statement_step(find, &row));
        if (!row)
            break;
        stable_t *stable = &out_stable[(*out_count)++];
        stable->id = statement_int64(find, 0);
        snprintf(stable->uid, sizeof stable->uid, "%s", statement_text(find, 1));
    }
    return STATUS_OK;
}

/* A study that has got an instance since is not complete any more. */
static status_t complete_note(rows_t *rows, const stable_t *stable, int64_t before_us)
{
    statement_t *update = NULL;
    TRY(database_prepare(rows->database,
                         "UPDATE studies SET complete = 1 WHERE id = $1 AND complete = 0"
                         " AND changed_us < $2",
                         &update));
    statement_bind_int64(update, 1, stable->id);
    statement_bind_int64(update, 2, before_us);
    TRY(statement_run(update));
    return database_changed_rows(rows->database)
               ? rows_change(rows, "study.complete", stable->uid, "", "", "")
               : STATUS_OK;
}

status_t changes_tend(rows_t *rows, int64_t stable_us)
{
    static stable_t stable[COMPLETE_BATCH]; /* the writing lane alone comes here */
    size_t count = 0;
    rows_begin(rows);
    TRY(changes_elect(rows));
    if (!rows->is_numbering)
        return STATUS_OK;
    int64_t before_us = rows->now_us - stable_us;
    TRY(database_begin(rows->database));
    changes_check(rows);
    status_t status = rows->is_numbering ? changes_number(rows) : STATUS_OK;
    if (status == STATUS_OK)
        status = stable_find(rows, before_us, stable, &count);
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        status = complete_note(rows, &stable[i], before_us);
    if (status == STATUS_OK)
        status = rows_commit(rows);
    if (status != STATUS_OK)
        database_rollback(rows->database);
    return status == STATUS_BUSY ? STATUS_OK : status; /* the next look is a second away */
}
