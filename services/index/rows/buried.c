#include "index/rows/rows.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- dead or alive ----------------------------------------------------------------------------- */

static status_t is_deleted(rows_t *rows, const entry_t *entry, bool *out_deleted,
                           int64_t *out_decided_us)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(rows->database,
                         "SELECT deleted_us FROM tombstones WHERE study_instance_uid = $1"
                         " AND ((pack = $5 AND up_to_sequence >= $6)"
                         " OR (pack = '' AND received_up_to_us >= $4))"
                         " AND (series_instance_uid = '' OR series_instance_uid = $2)"
                         " AND (sop_instance_uid = '' OR sop_instance_uid = $3)"
                         " ORDER BY deleted_us LIMIT 1",
                         &find));
    statement_bind_text(find, 1, entry->study_instance_uid);
    statement_bind_text(find, 2, entry->series_instance_uid);
    statement_bind_text(find, 3, entry->sop_instance_uid);
    statement_bind_int64(find, 4, entry->origin.received_us);
    statement_bind_text(find, 5, entry->origin.pack.text);
    statement_bind_int64(find, 6, entry->origin.sequence);
    TRY(statement_step(find, out_deleted));
    if (*out_deleted)
        *out_decided_us = statement_int64(find, 0);
    return STATUS_OK;
}

/* Decisions are rare: one question tells for all records of a pack that there is none. The study's
 * lock is held, and whoever decides about a record holds it, too. */
static status_t verdicts_look(rows_t *rows, const ulid_t *pack)
{
    if (strcmp(rows->judged_pack.text, pack->text) == 0)
        return STATUS_OK;
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(rows->database, "SELECT 1 FROM verdicts WHERE pack = $1 LIMIT 1", &find));
    statement_bind_text(find, 1, pack->text);
    TRY(statement_step(find, &rows->has_verdicts));
    rows->judged_pack = *pack;
    return STATUS_OK;
}

static status_t is_rejected(rows_t *rows, const entry_t *entry, bool *out_rejected,
                            int64_t *out_decided_us)
{
    *out_rejected = false;
    TRY(verdicts_look(rows, &entry->origin.pack));
    if (!rows->has_verdicts)
        return STATUS_OK;
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(rows->database,
                         "SELECT decided_us FROM verdicts WHERE pack = $1 AND sequence = $2"
                         " AND is_rejected = 1",
                         &find));
    statement_bind_text(find, 1, entry->origin.pack.text);
    statement_bind_int64(find, 2, entry->origin.sequence);
    TRY(statement_step(find, out_rejected));
    if (*out_rejected)
        *out_decided_us = statement_int64(find, 0);
    return STATUS_OK;
}

status_t rows_is_dead(rows_t *rows, const entry_t *entry, bool has_tombstones, bool *out_dead,
                      int64_t *out_decided_us)
{
    *out_dead = false;
    if (has_tombstones)
        TRY(is_deleted(rows, entry, out_dead, out_decided_us));
    return *out_dead ? STATUS_OK : is_rejected(rows, entry, out_dead, out_decided_us);
}

/* ---- burying ----------------------------------------------------------------------------------- */

/* A decision that is older than what it speaks of, or yet to come, is of a clock that is wrong: then
 * the time begins now. */
int64_t rows_dead_since(const rows_t *rows, int64_t decided_us, int64_t received_us)
{
    return decided_us < received_us || decided_us > rows->now_us ? rows->now_us : decided_us;
}

status_t rows_put_buried(rows_t *rows, const entry_t *entry, int64_t decided_us)
{
    statement_t *put = NULL;
    TRY(database_prepare(rows->database,
                         "INSERT INTO buried (origin_pack, origin_sequence, received_us,"
                         " sop_instance_uid, study_instance_uid, series_instance_uid, pack,"
                         " record_offset, dataset_length, since_us)"
                         " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
                         " ON CONFLICT (origin_pack, origin_sequence) DO UPDATE SET"
                         " pack = excluded.pack, record_offset = excluded.record_offset",
                         &put));
    const char *const uids[] = {entry->sop_instance_uid, entry->study_instance_uid,
                                entry->series_instance_uid, entry->record.pack.text};
    statement_bind_text(put, 1, entry->origin.pack.text);
    statement_bind_int64(put, 2, entry->origin.sequence);
    statement_bind_int64(put, 3, entry->origin.received_us);
    for (int i = 0; i < 4; i++)
        statement_bind_text(put, 4 + i, uids[i]);
    statement_bind_int64(put, 8, (int64_t)entry->record.offset);
    statement_bind_int64(put, 9, (int64_t)entry->record.dataset_length);
    statement_bind_int64(put, 10, rows_dead_since(rows, decided_us, entry->origin.received_us));
    TRY(statement_post(put));
    TRY(rows_count_source(rows, entry->source, entry->origin.received_us, 0));
    return rows_waste(rows, &entry->record.pack, (int64_t)entry->record.dataset_length);
}

/* ---- bringing back ----------------------------------------------------------------------------- */

status_t rows_hold_pack(rows_t *rows, const ulid_t *pack, bool *out_held)
{
    statement_t *touch = NULL;
    TRY(database_prepare(rows->database,
                         "UPDATE packs SET condemned = 0 WHERE pack = $1 AND condemned = 0",
                         &touch));
    statement_bind_text(touch, 1, pack->text);
    TRY(statement_run(touch));
    *out_held = database_changed_rows(rows->database) > 0;
    return STATUS_OK;
}

typedef struct {
    ulid_t pack, origin_pack;
    int64_t record_offset, origin_sequence;
} coffin_t;

typedef struct {
    coffin_t *coffins;
    size_t count, capacity;
} coffins_t;

static void coffins_add(coffins_t *coffins, statement_t *find)
{
    if (coffins->count == coffins->capacity) {
        coffins->capacity = coffins->capacity ? 2 * coffins->capacity : 64;
        coffins->coffins =
            memory_resize(coffins->coffins, coffins->capacity * sizeof *coffins->coffins);
    }
    coffin_t *coffin = &coffins->coffins[coffins->count++];
    *coffin = (coffin_t){.record_offset = statement_int64(find, 1),
                         .origin_sequence = statement_int64(find, 3)};
    snprintf(coffin->pack.text, sizeof coffin->pack.text, "%s", statement_text(find, 0));
    snprintf(coffin->origin_pack.text, sizeof coffin->origin_pack.text, "%s",
             statement_text(find, 2));
}

static status_t coffins_read(statement_t *find, coffins_t *coffins)
{
    for (bool row = true;;) {
        TRY(statement_step(find, &row));
        if (!row)
            return STATUS_OK;
        coffins_add(coffins, find);
    }
}

static status_t coffin_remove(rows_t *rows, const coffin_t *coffin)
{
    statement_t *clear = NULL;
    TRY(database_prepare(rows->database,
                         "DELETE FROM buried WHERE origin_pack = $1 AND origin_sequence = $2",
                         &clear));
    statement_bind_text(clear, 1, coffin->origin_pack.text);
    statement_bind_int64(clear, 2, coffin->origin_sequence);
    return statement_post(clear);
}

/* Dead for another reason, too: then it stays where it is. */
static status_t exhume(rows_t *rows, const coffin_t *coffin, entry_t *entry)
{
    bool dead = false, held = false;
    int64_t decided_us = 0;
    put_t ignored = PUT_STORED;
    pack_record_t record = {0};
    study_row_t *study = NULL;
    TRY(rows_hold_pack(rows, &coffin->pack, &held));
    if (!held)
        return STATUS_OK; /* too late */
    TRY(pack_store_record(rows->store, &coffin->pack, (uint64_t)coffin->record_offset, &record));
    TRY(entry_read(rows->store, &record, false, entry));
    TRY(rows_lock_study(rows, entry->study_instance_uid));
    TRY(rows_find_study(rows, entry->study_instance_uid, &study));
    TRY(rows_is_dead(rows, entry, study->has_tombstones, &dead, &decided_us));
    if (dead)
        return STATUS_OK;
    TRY(coffin_remove(rows, coffin));
    return rows_put_living(rows, entry, &ignored);
}

static status_t exhume_all(rows_t *rows, const coffins_t *coffins)
{
    entry_t entry = {0};
    status_t status = STATUS_OK;
    for (size_t i = 0; i < coffins->count && status == STATUS_OK; i++) {
        status = exhume(rows, &coffins->coffins[i], &entry);
        if (status == STATUS_INVALID || status == STATUS_NOT_FOUND)
            status = STATUS_OK; /* its bytes have rotted, or are gone: the others come back */
    }
    entry_destroy(&entry);
    return status;
}

static status_t exhume_found(rows_t *rows, statement_t *find)
{
    coffins_t coffins = {0};
    status_t status = coffins_read(find, &coffins);
    if (status == STATUS_OK)
        status = exhume_all(rows, &coffins);
    free(coffins.coffins);
    return status;
}

status_t rows_exhume(rows_t *rows, const char *study, const char *series, const char *sop)
{
    AUTO_STATEMENT *find = NULL;
    TRY(rows_flush_parents(rows)); /* what is known of the study's tombstones is so no longer */
    TRY(database_prepare(rows->database,
                         "SELECT pack, record_offset, origin_pack, origin_sequence FROM buried"
                         " WHERE study_instance_uid = $1 AND ($2 = '' OR series_instance_uid = $2)"
                         " AND ($3 = '' OR sop_instance_uid = $3) ORDER BY pack, record_offset",
                         &find));
    statement_bind_text(find, 1, study);
    statement_bind_text(find, 2, series);
    statement_bind_text(find, 3, sop);
    return exhume_found(rows, find);
}

status_t rows_exhume_record(rows_t *rows, const char *origin_pack, int64_t origin_sequence)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(rows->database,
                         "SELECT pack, record_offset, origin_pack, origin_sequence FROM buried"
                         " WHERE origin_pack = $1 AND origin_sequence = $2",
                         &find));
    statement_bind_text(find, 1, origin_pack);
    statement_bind_int64(find, 2, origin_sequence);
    return exhume_found(rows, find);
}
