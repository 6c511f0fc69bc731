#include "index/rows/rows.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Pairs of ids or UIDs collected before rows change under a running statement. */
typedef struct {
    int64_t id, study, series, dataset_length;
    ulid_t pack;
    char *sop;
} grave_t;

typedef struct {
    grave_t *graves;
    size_t count, capacity;
} graves_t;

static void graves_add(graves_t *graves, const grave_t *grave)
{
    if (graves->count == graves->capacity) {
        graves->capacity = graves->capacity ? 2 * graves->capacity : 64;
        graves->graves = memory_resize(graves->graves, graves->capacity * sizeof *graves->graves);
    }
    graves->graves[graves->count++] = *grave;
}

static void graves_destroy(graves_t *graves)
{
    for (size_t i = 0; i < graves->count; i++)
        free(graves->graves[i].sop);
    free(graves->graves);
}

/* What one TOMBSTONE speaks of. */
typedef struct {
    const pack_record_t *record;
    const char *study, *series, *sop;
    int64_t deleted_us;
} spell_t;

static void bind_spell(statement_t *statement, const spell_t *spell)
{
    statement_bind_text(statement, 1, spell->study);
    statement_bind_text(statement, 2, spell->series);
    statement_bind_text(statement, 3, spell->sop);
    statement_bind_text(statement, 4, spell->record->origin_pack.text);
    statement_bind_int64(statement, 5, (int64_t)spell->record->origin_sequence);
}

/* ---- the tombstone ----------------------------------------------------------------------------- */

static status_t is_restored(rows_t *rows, const pack_record_t *record, bool *out_restored)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(rows->database,
                         "SELECT 1 FROM restores WHERE tombstone_pack = $1"
                         " AND tombstone_sequence = $2",
                         &find));
    statement_bind_text(find, 1, record->origin_pack.text);
    statement_bind_int64(find, 2, (int64_t)record->origin_sequence);
    return statement_step(find, out_restored);
}

static status_t tombstone_put(rows_t *rows, const spell_t *spell, const Pack__Tombstone *tombstone,
                              const char *pack, uint64_t up_to_sequence)
{
    statement_t *put = NULL;
    TRY(database_prepare(rows->database,
                         "INSERT INTO tombstones (study_instance_uid, series_instance_uid,"
                         " sop_instance_uid, origin_pack, origin_sequence, pack, up_to_sequence,"
                         " received_up_to_us, deleted_us, instances)"
                         " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
                         " ON CONFLICT (origin_pack, origin_sequence, pack) DO NOTHING",
                         &put));
    bind_spell(put, spell);
    statement_bind_text(put, 6, pack);
    statement_bind_int64(put, 7, (int64_t)up_to_sequence);
    statement_bind_int64(put, 8, (int64_t)tombstone->received_up_to_us);
    statement_bind_int64(put, 9, (int64_t)tombstone->deleted_us);
    statement_bind_int64(put, 10, (int64_t)tombstone->instances);
    return statement_post(put);
}

static status_t tombstone_note(rows_t *rows, const spell_t *spell, const Pack__Tombstone *tombstone)
{
    if (tombstone->n_last_records == 0)
        return tombstone_put(rows, spell, tombstone, "", 0);
    for (size_t i = 0; i < tombstone->n_last_records; i++)
        TRY(tombstone_put(rows, spell, tombstone, tombstone->last_records[i]->pack,
                          tombstone->last_records[i]->sequence));
    return STATUS_OK;
}

/* ---- what it kills ----------------------------------------------------------------------------- */

/* Of a row with an origin: the tombstone of this transaction ($4, $5) names it. */
#define IS_NAMED(row)                                                                              \
    "EXISTS (SELECT 1 FROM tombstones t WHERE t.origin_pack = $4 AND t.origin_sequence = $5 AND"   \
    " ((t.pack = " row "origin_pack AND t.up_to_sequence >= " row "origin_sequence)"               \
    " OR (t.pack = '' AND t.received_up_to_us >= " row "received_us)))"

#define GRAVES                                                                                     \
    " FROM studies s JOIN series e ON e.study = s.id JOIN instances i ON i.series = e.id"          \
    " WHERE s.study_instance_uid = $1 AND ($2 = '' OR e.series_instance_uid = $2)"                 \
    " AND ($3 = '' OR i.sop_instance_uid = $3) AND " IS_NAMED("i.")

#define BURIED_COLUMNS                                                                             \
    "INSERT INTO buried (origin_pack, origin_sequence, received_us, sop_instance_uid,"             \
    " study_instance_uid, series_instance_uid, pack, record_offset, dataset_length, since_us)"
/* rows_dead_since() of each row. */
#define DEAD_SINCE(received, now, decided)                                                         \
    "CASE WHEN " received " > " decided " OR " decided " > " now " THEN " now " ELSE " decided     \
    " END"
#define SPELL_SINCE(row)    DEAD_SINCE(row "received_us", "$6", "$7")
#define REJECTED_SINCE(row) DEAD_SINCE(row "received_us", "$2", "$3")
#define BURIED_STAY         " ON CONFLICT (origin_pack, origin_sequence) DO NOTHING"

static status_t graves_find(rows_t *rows, const spell_t *spell, graves_t *graves)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(rows->database,
                         "SELECT i.id, i.study, i.series, i.sop_instance_uid, i.pack,"
                         " i.dataset_length" GRAVES " ORDER BY i.series",
                         &find));
    bind_spell(find, spell);
    for (bool row = true;;) {
        TRY(statement_step(find, &row));
        if (!row)
            return STATUS_OK;
        grave_t grave = {.id = statement_int64(find, 0),
                         .study = statement_int64(find, 1),
                         .series = statement_int64(find, 2),
                         .sop = memory_copy_text(statement_text(find, 3)),
                         .dataset_length = statement_int64(find, 5)};
        snprintf(grave.pack.text, sizeof grave.pack.text, "%s", statement_text(find, 4));
        graves_add(graves, &grave);
    }
}

static status_t note_post(statement_t *put, const rows_t *rows, const spell_t *spell)
{
    bind_spell(put, spell);
    statement_bind_int64(put, 6, rows->now_us);
    statement_bind_int64(put, 7, spell->deleted_us);
    return statement_post(put);
}

/* Remembers where it lies: the deletion may be taken back. */
static status_t graves_note(rows_t *rows, const spell_t *spell)
{
    statement_t *put = NULL;
    TRY(database_prepare(rows->database,
                         BURIED_COLUMNS
                         " SELECT i.origin_pack, i.origin_sequence, i.received_us,"
                         " i.sop_instance_uid, s.study_instance_uid, e.series_instance_uid,"
                         " i.pack, i.record_offset, i.dataset_length"
                         ", " SPELL_SINCE("i.") GRAVES BURIED_STAY,
                         &put));
    return note_post(put, rows, spell);
}

#define COPIES                                                                                     \
    " FROM copies WHERE study_instance_uid = $1 AND ($2 = '' OR series_instance_uid = $2)"         \
    " AND ($3 = '' OR sop_instance_uid = $3) AND " IS_NAMED("copies.")

static status_t copies_note(rows_t *rows, const spell_t *spell)
{
    statement_t *put = NULL;
    TRY(database_prepare(rows->database,
                         BURIED_COLUMNS
                         " SELECT origin_pack, origin_sequence, received_us, sop_instance_uid,"
                         " study_instance_uid, series_instance_uid, pack, record_offset,"
                         " dataset_length"
                         ", " SPELL_SINCE("copies.") COPIES BURIED_STAY,
                         &put));
    return note_post(put, rows, spell);
}

static status_t copies_clear(rows_t *rows, const spell_t *spell)
{
    AUTO_STATEMENT *clear = NULL;
    TRY(copies_note(rows, spell));
    TRY(database_prepare(rows->database, "DELETE" COPIES " RETURNING pack, dataset_length",
                         &clear));
    bind_spell(clear, spell);
    for (bool row = true;;) {
        TRY(statement_step(clear, &row));
        if (!row)
            return STATUS_OK;
        ulid_t pack = {0};
        snprintf(pack.text, sizeof pack.text, "%s", statement_text(clear, 0));
        TRY(rows_waste(rows, &pack, statement_int64(clear, 1)));
    }
}

/* Studies that hold another record of what goes: they may have to serve it. */
static status_t heirs_lock(rows_t *rows, const graves_t *graves)
{
    status_t status = STATUS_OK;
    for (size_t i = 0; i < graves->count; i++) {
        AUTO_STATEMENT *find = NULL;
        TRY(database_prepare(rows->database,
                             "SELECT study_instance_uid FROM copies WHERE sop_instance_uid = $1",
                             &find));
        statement_bind_text(find, 1, graves->graves[i].sop);
        for (bool row = true;;) {
            TRY(statement_step(find, &row));
            if (!row)
                break;
            if (rows_lock_study(rows, statement_text(find, 0)) != STATUS_OK)
                status = STATUS_BUSY;
        }
    }
    return status;
}

static status_t graves_dig(rows_t *rows, const graves_t *graves)
{
    for (size_t i = 0; i < graves->count; i++) {
        TRY(rows_delete_instance(rows, graves->graves[i].id));
        TRY(rows_waste(rows, &graves->graves[i].pack, graves->graves[i].dataset_length));
    }
    for (size_t i = 0; i < graves->count; i++)
        if (i + 1 == graves->count || graves->graves[i + 1].series != graves->graves[i].series)
            TRY(rows_settle(rows, graves->graves[i].study, graves->graves[i].series));
    /* What came after the deletion, or lies elsewhere under the same UID, is served now. */
    for (size_t i = 0; i < graves->count; i++)
        TRY(rows_elect(rows, graves->graves[i].sop));
    return STATUS_OK;
}

status_t rows_bury(rows_t *rows, const pack_record_t *record, const Pack__Tombstone *tombstone)
{
    graves_t graves = {0};
    bool restored = false;
    const spell_t spell = {record, tombstone->study_instance_uid, tombstone->series_instance_uid,
                           tombstone->sop_instance_uid, (int64_t)tombstone->deleted_us};
    TRY(rows_lock_study(rows, spell.study));
    TRY(rows_flush_parents(rows));
    TRY(is_restored(rows, record, &restored));
    if (restored)
        return STATUS_OK; /* as if it had never been */
    TRY(tombstone_note(rows, &spell, tombstone));
    TRY(rows_change(rows,
                    *spell.sop      ? "instance.deleted"
                    : *spell.series ? "series.deleted"
                                    : "study.deleted",
                    spell.study, spell.series, spell.sop, tombstone->user));
    status_t status = graves_find(rows, &spell, &graves);
    if (status == STATUS_OK)
        status = graves_note(rows, &spell);
    if (status == STATUS_OK)
        status = heirs_lock(rows, &graves);
    if (status == STATUS_OK)
        status = copies_clear(rows, &spell);
    if (status == STATUS_OK)
        status = graves_dig(rows, &graves);
    graves_destroy(&graves);
    return status == STATUS_OK ? rows_change_survivors(rows, spell.study, spell.series, spell.sop)
                               : status;
}

/* ---- decisions --------------------------------------------------------------------------------- */

#define REJECTED(row)                                                                              \
    " WHERE " row "sop_instance_uid = $1 AND EXISTS (SELECT 1 FROM verdicts v WHERE v.pack = " row \
    "origin_pack AND v.sequence = " row "origin_sequence AND v.is_rejected = 1)"

#define REJECTED_INSTANCES                                                                         \
    " FROM instances i JOIN studies s ON s.id = i.study JOIN series e ON e.id = "                  \
    "i.series" REJECTED("i.")

static status_t rejected_note(rows_t *rows, const char *sop, int64_t decided_us)
{
    static const char *const texts[] = {
        BURIED_COLUMNS " SELECT i.origin_pack, i.origin_sequence, i.received_us,"
                       " i.sop_instance_uid, s.study_instance_uid, e.series_instance_uid,"
                       " i.pack, i.record_offset, i.dataset_length"
                       ", " REJECTED_SINCE("i.") REJECTED_INSTANCES BURIED_STAY,
        BURIED_COLUMNS
        " SELECT origin_pack, origin_sequence, received_us, sop_instance_uid,"
        " study_instance_uid, series_instance_uid, pack, record_offset, dataset_length"
        ", " REJECTED_SINCE("copies.") " FROM copies" REJECTED("copies.") BURIED_STAY};
    for (int i = 0; i < 2; i++) {
        statement_t *put = NULL;
        TRY(database_prepare(rows->database, texts[i], &put));
        statement_bind_text(put, 1, sop);
        statement_bind_int64(put, 2, rows->now_us);
        statement_bind_int64(put, 3, decided_us);
        TRY(statement_post(put));
    }
    return STATUS_OK;
}

/* The served record, if it is rejected. */
static status_t rejected_row(rows_t *rows, const char *sop, bool *out_found,
                             instance_row_t *out_row)
{
    AUTO_STATEMENT *find = NULL;
    TRY(rows_find_instance(rows, sop, out_found, out_row));
    if (!*out_found)
        return STATUS_OK;
    TRY(database_prepare(rows->database, "SELECT 1 FROM instances i" REJECTED("i."), &find));
    statement_bind_text(find, 1, sop);
    return statement_step(find, out_found);
}

static status_t rejected_copies_clear(rows_t *rows, const char *sop)
{
    AUTO_STATEMENT *clear = NULL;
    TRY(database_prepare(rows->database,
                         "DELETE FROM copies" REJECTED("copies.") " RETURNING pack, dataset_length",
                         &clear));
    statement_bind_text(clear, 1, sop);
    for (bool row = true;;) {
        TRY(statement_step(clear, &row));
        if (!row)
            return STATUS_OK;
        ulid_t pack = {0};
        snprintf(pack.text, sizeof pack.text, "%s", statement_text(clear, 0));
        TRY(rows_waste(rows, &pack, statement_int64(clear, 1)));
    }
}

status_t rows_bury_rejected(rows_t *rows, const char *sop, int64_t decided_us)
{
    bool found = false;
    instance_row_t row;
    TRY(rows_flush_parents(rows));
    TRY(rejected_row(rows, sop, &found, &row));
    if (found)
        TRY(rows_lock_study(rows, row.study_instance_uid));
    TRY(rejected_note(rows, sop, decided_us));
    TRY(rejected_copies_clear(rows, sop));
    if (!found)
        return STATUS_OK;
    TRY(rows_delete_instance(rows, row.id));
    TRY(rows_waste(rows, &row.pack, row.dataset_length));
    return rows_settle(rows, row.study, row.series);
}
