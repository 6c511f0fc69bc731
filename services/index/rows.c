#include "index/rows.h"

#include "base/clock.h"
#include "base/memory.h"

#include <stdio.h>
#include <string.h>

#define TAG_MODALITY          0x00080060
#define TAG_PATIENT_ID        0x00100020
#define TAG_PATIENT_ID_ISSUER 0x00100021

/* ---- changes, sources, counters ---------------------------------------------------------------- */

status_t rows_change(rows_t *rows, const char *kind, const char *study, const char *series,
                     const char *sop, const char *source)
{
    AUTO_STATEMENT *insert = NULL;
    TRY(database_prepare(rows->database,
                         "INSERT INTO changes (kind, study_instance_uid, series_instance_uid,"
                         " sop_instance_uid, source, at_us) VALUES ($1, $2, $3, $4, $5, $6)"
                         " RETURNING sequence",
                         &insert));
    const char *const texts[] = {kind, study, series, sop};
    for (int i = 0; i < 4; i++)
        statement_bind_text(insert, i + 1, texts[i]);
    statement_bind_text_n(insert, 5, source, strnlen(source, SOURCE_MAX));
    statement_bind_int64(insert, 6, clock_wall_us());
    bool row = false;
    TRY(statement_step(insert, &row));
    if (!row)
        return fail(STATUS_INTERNAL, "a change got no number");
    rows->version = statement_int64(insert, 0);
    return statement_step(insert, &row);
}

status_t rows_count_source(rows_t *rows, const entry_t *entry)
{
    statement_t *upsert = NULL;
    TRY(database_prepare(rows->database,
                         "INSERT INTO sources (source, last_received_us, instances)"
                         " VALUES ($1, $2, 1) ON CONFLICT (source) DO UPDATE SET"
                         " instances = sources.instances + 1, last_received_us ="
                         " CASE WHEN sources.last_received_us < excluded.last_received_us"
                         " THEN excluded.last_received_us ELSE sources.last_received_us END",
                         &upsert));
    statement_bind_text(upsert, 1, entry->source);
    statement_bind_int64(upsert, 2, entry->origin.received_us);
    return statement_run(upsert);
}

status_t rows_flush_counters(rows_t *rows)
{
    static const char *const names[COUNTER_COUNT] = {"patients",  "studies", "series",
                                                     "instances", "bytes",   "unreadable"};
    for (int i = 0; i < COUNTER_COUNT; i++) {
        if (rows->counters[i] == 0)
            continue;
        statement_t *upsert = NULL;
        TRY(database_prepare(rows->database,
                             "INSERT INTO counters (name, value) VALUES ($1, $2)"
                             " ON CONFLICT (name) DO UPDATE SET"
                             " value = counters.value + excluded.value",
                             &upsert));
        statement_bind_text(upsert, 1, names[i]);
        statement_bind_int64(upsert, 2, rows->counters[i]);
        TRY(statement_run(upsert));
        rows->counters[i] = 0;
    }
    return STATUS_OK;
}

/* ---- finding ----------------------------------------------------------------------------------- */

status_t rows_find_instance(rows_t *rows, const char *sop_instance_uid, bool *out_found,
                            instance_row_t *out_row)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(
        rows->database,
        "SELECT i.id, i.study, i.series, i.pack, i.record_offset, i.received_us,"
        " i.origin_pack, i.origin_sequence, i.sha256, i.source,"
        " s.study_instance_uid, e.series_instance_uid, i.unreadable FROM instances i"
        " JOIN studies s ON s.id = i.study JOIN series e ON e.id = i.series"
        " WHERE i.sop_instance_uid = $1",
        &find));
    statement_bind_text(find, 1, sop_instance_uid);
    bool row = false;
    TRY(statement_step(find, &row));
    *out_found = row;
    if (!row)
        return STATUS_OK;
    *out_row = (instance_row_t){.id = statement_int64(find, 0),
                                .study = statement_int64(find, 1),
                                .series = statement_int64(find, 2),
                                .record_offset = statement_int64(find, 4)};
    snprintf(out_row->pack.text, sizeof out_row->pack.text, "%s", statement_text(find, 3));
    out_row->origin.received_us = statement_int64(find, 5);
    snprintf(out_row->origin.pack.text, sizeof out_row->origin.pack.text, "%s",
             statement_text(find, 6));
    out_row->origin.sequence = statement_int64(find, 7);
    size_t length = 0;
    const void *digest = statement_blob(find, 8, &length);
    memcpy(out_row->sha256, digest, length < SHA256_SIZE ? length : SHA256_SIZE);
    snprintf(out_row->source, sizeof out_row->source, "%s", statement_text(find, 9));
    snprintf(out_row->study_instance_uid, sizeof(uid_text_t), "%s", statement_text(find, 10));
    snprintf(out_row->series_instance_uid, sizeof(uid_text_t), "%s", statement_text(find, 11));
    out_row->unreadable = statement_int64(find, 12) != 0;
    return STATUS_OK;
}

/* A study's or series' row: its id, and the origin its attributes come from. */
static status_t parent_find(statement_t *find, int64_t *out_id, origin_t *out_first)
{
    bool row = false;
    status_t status = statement_step(find, &row);
    if (status == STATUS_OK) {
        *out_id = row ? statement_int64(find, 0) : 0;
        out_first->received_us = statement_int64(find, 1);
        snprintf(out_first->pack.text, sizeof out_first->pack.text, "%s", statement_text(find, 2));
        out_first->sequence = statement_int64(find, 3);
    }
    statement_reset(find);
    return status;
}

/* The id that an INSERT ... RETURNING id gives. */
static status_t insert_run(statement_t *insert, int64_t *out_id)
{
    bool row = false;
    status_t status = statement_step(insert, &row);
    if (status == STATUS_OK && row) {
        *out_id = statement_int64(insert, 0);
        status = statement_step(insert, &row);
    }
    statement_reset(insert);
    return status;
}

/* ---- patients ---------------------------------------------------------------------------------- */

/* PatientID with its issuer. Without an ID nobody can say who it is: then the study stands alone. */
static void patient_key(const entry_t *entry, const char **out_id, const char **out_issuer)
{
    *out_id = extract_text_of(&entry->extract, TAG_PATIENT_ID);
    *out_issuer = extract_text_of(&entry->extract, TAG_PATIENT_ID_ISSUER);
    if (!**out_id)
        *out_issuer = entry->study_instance_uid;
}

/* Of the study that has just got this entry's attributes. */
static status_t patient_assign(rows_t *rows, int64_t study, const entry_t *entry)
{
    const char *id, *issuer;
    patient_key(entry, &id, &issuer);
    statement_t *upsert = NULL;
    int64_t patient = 0, count = 0, before = 0;
    TRY(database_prepare(rows->database,
                         "INSERT INTO patients (patient_id, issuer, study_count) VALUES ($1, $2, 1)"
                         " ON CONFLICT (patient_id, issuer) DO UPDATE SET"
                         " study_count = patients.study_count + 1 RETURNING id, study_count",
                         &upsert));
    statement_bind_text(upsert, 1, id);
    statement_bind_text(upsert, 2, issuer);
    bool row = false;
    status_t status = statement_step(upsert, &row);
    if (status == STATUS_OK && row) {
        patient = statement_int64(upsert, 0);
        count = statement_int64(upsert, 1);
        status = statement_step(upsert, &row);
    }
    statement_reset(upsert);
    TRY(status);
    rows->counters[COUNTER_PATIENTS] += count == 1;
    statement_t *find = NULL, *update = NULL;
    TRY(database_prepare(rows->database, "SELECT patient FROM studies WHERE id = $1", &find));
    statement_bind_int64(find, 1, study);
    TRY(insert_run(find, &before));
    TRY(database_prepare(rows->database, "UPDATE studies SET patient = $1 WHERE id = $2", &update));
    statement_bind_int64(update, 1, patient);
    statement_bind_int64(update, 2, study);
    TRY(statement_run(update));
    return before ? rows_leave_patient(rows, before) : STATUS_OK;
}

status_t rows_leave_patient(rows_t *rows, int64_t patient)
{
    statement_t *update = NULL, *clear = NULL;
    TRY(database_prepare(rows->database,
                         "UPDATE patients SET study_count = study_count - 1 WHERE id = $1",
                         &update));
    statement_bind_int64(update, 1, patient);
    TRY(statement_run(update));
    TRY(database_prepare(rows->database, "DELETE FROM patients WHERE id = $1 AND study_count <= 0",
                         &clear));
    statement_bind_int64(clear, 1, patient);
    TRY(statement_run(clear));
    rows->counters[COUNTER_PATIENTS] -= database_changed_rows(rows->database);
    return STATUS_OK;
}

status_t rows_take_study(rows_t *rows, int64_t study, const entry_t *entry)
{
    TRY(rows_set_study(rows, study, entry));
    return patient_assign(rows, study, entry);
}

/* ---- inserting --------------------------------------------------------------------------------- */

static status_t study_put(rows_t *rows, const entry_t *entry, int64_t *out_study)
{
    statement_t *find = NULL, *insert = NULL;
    origin_t first = {0};
    TRY(database_prepare(rows->database,
                         "SELECT id, first_received_us, first_pack, first_sequence FROM studies"
                         " WHERE study_instance_uid = $1",
                         &find));
    statement_bind_text(find, 1, entry->study_instance_uid);
    TRY(parent_find(find, out_study, &first));
    if (*out_study && origin_compare(&entry->origin, &first) > 0)
        return STATUS_OK;
    if (!*out_study) {
        TRY(database_prepare(rows->database,
                             "INSERT INTO studies (study_instance_uid, patient, first_received_us,"
                             " first_pack, first_sequence) VALUES ($1, 0, 0, '', 0) RETURNING id",
                             &insert));
        statement_bind_text(insert, 1, entry->study_instance_uid);
        TRY(insert_run(insert, out_study));
        rows->counters[COUNTER_STUDIES]++;
    }
    return rows_take_study(rows, *out_study, entry);
}

static status_t series_put(rows_t *rows, const entry_t *entry, int64_t study, int64_t *out_series)
{
    statement_t *find = NULL, *insert = NULL, *update = NULL;
    origin_t first = {0};
    TRY(database_prepare(rows->database,
                         "SELECT id, first_received_us, first_pack, first_sequence FROM series"
                         " WHERE study = $1 AND series_instance_uid = $2",
                         &find));
    statement_bind_int64(find, 1, study);
    statement_bind_text(find, 2, entry->series_instance_uid);
    TRY(parent_find(find, out_series, &first));
    if (*out_series && origin_compare(&entry->origin, &first) > 0)
        return STATUS_OK;
    if (!*out_series) {
        TRY(database_prepare(rows->database,
                             "INSERT INTO series (series_instance_uid, study, first_received_us,"
                             " first_pack, first_sequence) VALUES ($1, $2, 0, '', 0) RETURNING id",
                             &insert));
        statement_bind_text(insert, 1, entry->series_instance_uid);
        statement_bind_int64(insert, 2, study);
        TRY(insert_run(insert, out_series));
        rows->counters[COUNTER_SERIES]++;
        TRY(database_prepare(rows->database,
                             "UPDATE studies SET series_count = series_count + 1 WHERE id = $1",
                             &update));
        statement_bind_int64(update, 1, study);
        TRY(statement_run(update));
    }
    return rows_set_series(rows, *out_series, entry);
}

static status_t instance_put(rows_t *rows, const entry_t *entry, int64_t study, int64_t series)
{
    statement_t *insert = NULL;
    TRY(database_prepare(
        rows->database,
        "INSERT INTO instances (sop_instance_uid, study, series, sop_class_uid,"
        " transfer_syntax_uid, pack, record_offset, dataset_offset, dataset_length,"
        " pixel_data_offset, pixel_value_offset, pixel_value_length, received_us,"
        " origin_pack, origin_sequence, sha256, source, source_ae_title, unreadable,"
        " version, modality) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,"
        " $12, $13, $14, $15, $16, $17, $18, $19, $20, $21) RETURNING id",
        &insert));
    const pack_record_t *record = &entry->record;
    const struct {
        int number;
        const char *text;
    } texts[] = {
        {1, entry->sop_instance_uid},     {4, entry->sop_class_uid},
        {5, record->transfer_syntax_uid}, {6, record->pack.text},
        {14, entry->origin.pack.text},    {17, entry->source},
        {18, entry->source_ae_title},     {21, extract_text_of(&entry->extract, TAG_MODALITY)},
    };
    const struct {
        int number;
        int64_t value;
    } numbers[] = {
        {2, study},
        {3, series},
        {7, (int64_t)record->offset},
        {8, (int64_t)record->dataset_offset},
        {9, (int64_t)record->dataset_length},
        {10, (int64_t)record->pixel_data_offset},
        {11, (int64_t)record->pixel_value_offset},
        {12, (int64_t)record->pixel_value_length},
        {13, entry->origin.received_us},
        {15, entry->origin.sequence},
        {19, entry->unreadable},
        {20, rows->version},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        statement_bind_text(insert, texts[i].number, texts[i].text);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        statement_bind_int64(insert, numbers[i].number, numbers[i].value);
    statement_bind_blob(insert, 16, record->dataset_sha256, SHA256_SIZE);
    int64_t id = 0;
    TRY(insert_run(insert, &id));
    rows->counters[COUNTER_INSTANCES]++;
    rows->counters[COUNTER_BYTES] += (int64_t)record->dataset_length;
    rows->counters[COUNTER_UNREADABLE] += entry->unreadable;
    return rows_set_instance(rows, id, entry);
}

static status_t parents_count(rows_t *rows, int64_t study, int64_t series)
{
    statement_t *update = NULL;
    TRY(database_prepare(rows->database,
                         "UPDATE series SET instance_count = instance_count + 1, version = $2"
                         " WHERE id = $1",
                         &update));
    statement_bind_int64(update, 1, series);
    statement_bind_int64(update, 2, rows->version);
    TRY(statement_run(update));
    TRY(database_prepare(rows->database,
                         "UPDATE studies SET instance_count = instance_count + 1, version = $2,"
                         " changed_us = $3, complete = 0 WHERE id = $1",
                         &update));
    statement_bind_int64(update, 1, study);
    statement_bind_int64(update, 2, rows->version);
    statement_bind_int64(update, 3, clock_wall_us());
    return statement_run(update);
}

status_t rows_insert(rows_t *rows, const entry_t *entry)
{
    int64_t study = 0, series = 0;
    TRY(rows_change(rows, entry->unreadable ? "instance.unreadable" : "instance.stored",
                    entry->study_instance_uid, entry->series_instance_uid, entry->sop_instance_uid,
                    entry->source));
    TRY(study_put(rows, entry, &study));
    TRY(series_put(rows, entry, study, &series));
    TRY(instance_put(rows, entry, study, series));
    TRY(rows_add_modality(rows, study, extract_text_of(&entry->extract, TAG_MODALITY)));
    return parents_count(rows, study, series);
}

status_t rows_delete_instance(rows_t *rows, int64_t id)
{
    AUTO_STATEMENT *clear = NULL;
    TRY(database_prepare(rows->database,
                         "DELETE FROM instances WHERE id = $1 RETURNING dataset_length, unreadable",
                         &clear));
    statement_bind_int64(clear, 1, id);
    bool row = false;
    TRY(statement_step(clear, &row));
    if (!row)
        return STATUS_OK;
    rows->counters[COUNTER_INSTANCES]--;
    rows->counters[COUNTER_BYTES] -= statement_int64(clear, 0);
    rows->counters[COUNTER_UNREADABLE] -= statement_int64(clear, 1);
    return statement_step(clear, &row);
}
