#include "index/rows/rows.h"

#include <stdio.h>
#include <string.h>

#define TAG_PATIENT_ID        0x00100020
#define TAG_PATIENT_ID_ISSUER 0x00100021

/* ---- finding ----------------------------------------------------------------------------------- */

/* A study's or series' row: its id, the origin its attributes come from, and a number more. */
static status_t parent_read(statement_t *find, int64_t *out_id, origin_t *out_first,
                            int64_t *out_number)
{
    bool row = false;
    status_t status = statement_step(find, &row);
    if (status == STATUS_OK && row) {
        *out_id = statement_int64(find, 0);
        out_first->received_us = statement_int64(find, 1);
        snprintf(out_first->pack.text, sizeof out_first->pack.text, "%s", statement_text(find, 2));
        out_first->sequence = statement_int64(find, 3);
        *out_number = statement_int64(find, 4);
    }
    statement_reset(find);
    return status;
}

/* The only number of the only row that a statement gives, or 0; ends the statement. */
static status_t number_read(statement_t *statement, int64_t *out_number)
{
    bool row = false;
    status_t status = statement_step(statement, &row);
    *out_number = row ? statement_int64(statement, 0) : 0;
    while (row && status == STATUS_OK)
        status = statement_step(statement, &row);
    statement_reset(statement);
    return status;
}

static status_t study_read(rows_t *rows, study_row_t *study)
{
    statement_t *find = NULL;
    int64_t any = 0;
    TRY(database_prepare(rows->database,
                         "SELECT id, first_received_us, first_pack, first_sequence, EXISTS (SELECT"
                         " 1 FROM tombstones WHERE study_instance_uid = $1) FROM studies"
                         " WHERE study_instance_uid = $1",
                         &find));
    statement_bind_text(find, 1, study->uid);
    TRY(parent_read(find, &study->id, &study->first, &any));
    study->has_tombstones = any != 0;
    if (study->id)
        return STATUS_OK;
    TRY(database_prepare(rows->database,
                         "SELECT 1 FROM tombstones WHERE study_instance_uid = $1 LIMIT 1", &find));
    statement_bind_text(find, 1, study->uid);
    TRY(number_read(find, &any));
    study->has_tombstones = any != 0;
    return STATUS_OK;
}

status_t rows_find_study(rows_t *rows, const char *study_instance_uid, study_row_t **out_study)
{
    for (size_t i = rows->study_count; i-- > 0;)
        if (strcmp(rows->studies[i].uid, study_instance_uid) == 0) {
            *out_study = &rows->studies[i];
            return STATUS_OK;
        }
    if (rows->study_count == ROWS_KNOWN_MAX)
        TRY(rows_flush_parents(rows));
    study_row_t study = {.id = 0};
    snprintf(study.uid, sizeof study.uid, "%s", study_instance_uid);
    TRY(study_read(rows, &study));
    *out_study = &rows->studies[rows->study_count++];
    **out_study = study;
    return STATUS_OK;
}

/* Of a study that has a row. */
static status_t series_find(rows_t *rows, int64_t study, const char *series_instance_uid,
                            series_row_t **out_series)
{
    for (size_t i = rows->series_count; i-- > 0;)
        if (rows->series[i].study == study &&
            strcmp(rows->series[i].uid, series_instance_uid) == 0) {
            *out_series = &rows->series[i];
            return STATUS_OK;
        }
    statement_t *find = NULL;
    series_row_t series = {.study = study};
    snprintf(series.uid, sizeof series.uid, "%s", series_instance_uid);
    TRY(database_prepare(rows->database,
                         "SELECT id, first_received_us, first_pack, first_sequence, 0 FROM series"
                         " WHERE study = $1 AND series_instance_uid = $2",
                         &find));
    statement_bind_int64(find, 1, study);
    statement_bind_text(find, 2, series_instance_uid);
    int64_t nothing = 0;
    TRY(parent_read(find, &series.id, &series.first, &nothing));
    *out_series = &rows->series[rows->series_count++];
    **out_series = series;
    return STATUS_OK;
}

/* ---- patients ---------------------------------------------------------------------------------- */

/* PatientID with its issuer. Without an ID nobody can say who it is: then the study stands alone. */
void rows_patient_of(const entry_t *entry, const char **out_id, const char **out_issuer)
{
    *out_id = extract_text_of(&entry->extract, TAG_PATIENT_ID);
    *out_issuer = extract_text_of(&entry->extract, TAG_PATIENT_ID_ISSUER);
    if (!**out_id)
        *out_issuer = entry->study_instance_uid;
}

static status_t patient_put(rows_t *rows, const entry_t *entry, int64_t *out_patient)
{
    const char *id, *issuer;
    rows_patient_of(entry, &id, &issuer);
    AUTO_STATEMENT *upsert = NULL;
    TRY(database_prepare(rows->database,
                         "INSERT INTO patients (patient_id, issuer, study_count) VALUES ($1, $2, 1)"
                         " ON CONFLICT (patient_id, issuer) DO UPDATE SET"
                         " study_count = patients.study_count + 1 RETURNING id, study_count",
                         &upsert));
    statement_bind_text(upsert, 1, id);
    statement_bind_text(upsert, 2, issuer);
    bool row = false;
    TRY(statement_step(upsert, &row));
    if (!row)
        return fail(STATUS_INTERNAL, "a patient got no row");
    *out_patient = statement_int64(upsert, 0);
    rows->counters[COUNTER_PATIENTS] += statement_int64(upsert, 1) == 1;
    return statement_step(upsert, &row);
}

/* Of the study that has just got this entry's attributes. */
static status_t patient_assign(rows_t *rows, int64_t study, const entry_t *entry)
{
    statement_t *find = NULL, *update = NULL;
    int64_t patient = 0, before = 0;
    TRY(patient_put(rows, entry, &patient));
    TRY(database_prepare(rows->database, "SELECT patient FROM studies WHERE id = $1", &find));
    statement_bind_int64(find, 1, study);
    TRY(number_read(find, &before));
    TRY(database_prepare(rows->database, "UPDATE studies SET patient = $1 WHERE id = $2", &update));
    statement_bind_int64(update, 1, patient);
    statement_bind_int64(update, 2, study);
    TRY(statement_post(update));
    return before ? rows_leave_patient(rows, before) : STATUS_OK;
}

status_t rows_leave_patient(rows_t *rows, int64_t patient)
{
    statement_t *update = NULL, *clear = NULL;
    TRY(database_prepare(rows->database,
                         "UPDATE patients SET study_count = study_count - 1 WHERE id = $1",
                         &update));
    statement_bind_int64(update, 1, patient);
    TRY(statement_post(update));
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

/* ---- putting ----------------------------------------------------------------------------------- */

static status_t study_put(rows_t *rows, const entry_t *entry, study_row_t *study)
{
    if (study->id && origin_compare(&entry->origin, &study->first) > 0)
        return STATUS_OK;
    if (!study->id) {
        statement_t *insert = NULL;
        TRY(database_prepare(rows->database,
                             "INSERT INTO studies (study_instance_uid, patient, first_received_us,"
                             " first_pack, first_sequence) VALUES ($1, 0, 0, '', 0) RETURNING id",
                             &insert));
        statement_bind_text(insert, 1, study->uid);
        TRY(number_read(insert, &study->id));
        rows->counters[COUNTER_STUDIES]++;
    }
    study->first = entry->origin;
    return rows_take_study(rows, study->id, entry);
}

static status_t series_put(rows_t *rows, const entry_t *entry, study_row_t *study,
                           series_row_t *series)
{
    if (series->id && origin_compare(&entry->origin, &series->first) > 0)
        return STATUS_OK;
    if (!series->id) {
        statement_t *insert = NULL;
        TRY(database_prepare(rows->database,
                             "INSERT INTO series (series_instance_uid, study, first_received_us,"
                             " first_pack, first_sequence) VALUES ($1, $2, 0, '', 0) RETURNING id",
                             &insert));
        statement_bind_text(insert, 1, series->uid);
        statement_bind_int64(insert, 2, study->id);
        TRY(number_read(insert, &series->id));
        rows->counters[COUNTER_SERIES]++;
        study->added_series++;
    }
    series->first = entry->origin;
    return rows_set_series(rows, series->id, entry);
}

status_t rows_put_parents(rows_t *rows, const entry_t *entry, study_row_t **out_study,
                          series_row_t **out_series)
{
    if (rows->study_count == ROWS_KNOWN_MAX || rows->series_count == ROWS_KNOWN_MAX)
        TRY(rows_flush_parents(rows));
    TRY(rows_find_study(rows, entry->study_instance_uid, out_study));
    TRY(study_put(rows, entry, *out_study));
    TRY(series_find(rows, (*out_study)->id, entry->series_instance_uid, out_series));
    return series_put(rows, entry, *out_study, *out_series);
}

status_t rows_is_later(rows_t *rows, const entry_t *entry, bool *out_later)
{
    study_row_t *study = NULL;
    series_row_t *series = NULL;
    *out_later = false;
    if (rows->study_count == ROWS_KNOWN_MAX || rows->series_count == ROWS_KNOWN_MAX)
        TRY(rows_flush_parents(rows));
    TRY(rows_find_study(rows, entry->study_instance_uid, &study));
    if (!study->id || origin_compare(&entry->origin, &study->first) <= 0)
        return STATUS_OK;
    TRY(series_find(rows, study->id, entry->series_instance_uid, &series));
    *out_later = series->id && origin_compare(&entry->origin, &series->first) > 0;
    return STATUS_OK;
}

/* ---- counting ---------------------------------------------------------------------------------- */

static status_t series_flush(rows_t *rows, const series_row_t *series)
{
    statement_t *update = NULL;
    TRY(database_prepare(rows->database,
                         "UPDATE series SET instance_count = instance_count + $2,"
                         " version = " ROWS_NEXT_VERSION("$3") " WHERE id = $1",
                         &update));
    statement_bind_int64(update, 1, series->id);
    statement_bind_int64(update, 2, series->added_instances);
    statement_bind_int64(update, 3, rows->now_us);
    return statement_post(update);
}

static status_t study_flush(rows_t *rows, const study_row_t *study)
{
    statement_t *update = NULL;
    TRY(database_prepare(
        rows->database,
        "UPDATE studies SET instance_count = instance_count + $2,"
        " version = " ROWS_NEXT_VERSION("$3") ", changed_us = $3, complete = 0,"
                                              " series_count = series_count + $4 WHERE id = $1",
        &update));
    statement_bind_int64(update, 1, study->id);
    statement_bind_int64(update, 2, study->added_instances);
    statement_bind_int64(update, 3, rows->now_us);
    statement_bind_int64(update, 4, study->added_series);
    return statement_post(update);
}

status_t rows_flush_parents(rows_t *rows)
{
    for (size_t i = 0; i < rows->series_count; i++)
        if (rows->series[i].added_instances)
            TRY(series_flush(rows, &rows->series[i]));
    for (size_t i = 0; i < rows->study_count; i++)
        if (rows->studies[i].added_instances || rows->studies[i].added_series)
            TRY(study_flush(rows, &rows->studies[i]));
    rows->study_count = rows->series_count = 0;
    return STATUS_OK;
}
