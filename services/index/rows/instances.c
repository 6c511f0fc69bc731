#include "index/rows/rows.h"

#include <stdio.h>
#include <string.h>

#define TAG_MODALITY 0x00080060

/* ---- finding ----------------------------------------------------------------------------------- */

static void row_read(statement_t *find, instance_row_t *out_row)
{
    *out_row = (instance_row_t){.id = statement_int64(find, 0),
                                .study = statement_int64(find, 1),
                                .series = statement_int64(find, 2),
                                .record_offset = statement_int64(find, 4),
                                .dataset_length = statement_int64(find, 13)};
    snprintf(out_row->pack.text, sizeof out_row->pack.text, "%s", statement_text(find, 3));
    out_row->origin.received_us = statement_int64(find, 5);
    snprintf(out_row->origin.pack.text, sizeof out_row->origin.pack.text, "%s",
             statement_text(find, 6));
    out_row->origin.sequence = statement_int64(find, 7);
    size_t length = 0;
    const void *digest = statement_blob(find, 8, &length);
    memcpy(out_row->digest, digest, length < DIGEST_SIZE ? length : DIGEST_SIZE);
    snprintf(out_row->source, sizeof out_row->source, "%s", statement_text(find, 9));
    snprintf(out_row->study_instance_uid, sizeof(uid_text_t), "%s", statement_text(find, 10));
    snprintf(out_row->series_instance_uid, sizeof(uid_text_t), "%s", statement_text(find, 11));
    out_row->unreadable = statement_int64(find, 12) != 0;
}

status_t rows_find_instance(rows_t *rows, const char *sop_instance_uid, bool *out_found,
                            instance_row_t *out_row)
{
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(
        rows->database,
        "SELECT i.id, i.study, i.series, i.pack, i.record_offset, i.received_us,"
        " i.origin_pack, i.origin_sequence, i.digest, i.source,"
        " s.study_instance_uid, e.series_instance_uid, i.unreadable, i.dataset_length"
        " FROM instances i JOIN studies s ON s.id = i.study JOIN series e ON e.id = i.series"
        " WHERE i.sop_instance_uid = $1",
        &find));
    statement_bind_text(find, 1, sop_instance_uid);
    TRY(statement_step(find, out_found));
    if (*out_found)
        row_read(find, out_row);
    return STATUS_OK;
}

/* ---- inserting --------------------------------------------------------------------------------- */

/* The columns beside the attributes, in the order of their numbers. */
static const char fixed_columns[] =
    "sop_instance_uid, study, series, sop_class_uid, transfer_syntax_uid, pack, record_offset,"
    " dataset_offset, dataset_length, pixel_data_offset, pixel_value_offset, pixel_value_length,"
    " received_us, origin_pack, origin_sequence, digest, source, source_ae_title, unreadable,"
    " version, modality, fragment";
enum { FIXED_COLUMNS = 22 };

static const char *insert_text(void)
{
    static buffer_t text; /* rows are written by one thread at a time */
    if (text.length)
        return buffer_text(&text);
    buffer_printf(&text, "INSERT INTO instances (%s", fixed_columns);
    rows_append_columns(&text, LEVEL_INSTANCE, COLUMNS_NAMES, 0);
    buffer_append_text(&text, ") VALUES ($1");
    for (int number = 2; number <= FIXED_COLUMNS; number++)
        buffer_printf(&text, ", $%d", number);
    rows_append_columns(&text, LEVEL_INSTANCE, COLUMNS_NUMBERS, FIXED_COLUMNS + 1);
    buffer_append_text(&text, ") ON CONFLICT (sop_instance_uid) DO NOTHING");
    return buffer_text(&text);
}

static void fixed_bind(statement_t *insert, const rows_t *rows, const entry_t *entry,
                       const series_row_t *series)
{
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
        {2, series->study},
        {3, series->id},
        {7, (int64_t)record->offset},
        {8, (int64_t)record->dataset_offset},
        {9, (int64_t)record->dataset_length},
        {10, (int64_t)record->pixel_data_offset},
        {11, (int64_t)record->pixel_value_offset},
        {12, (int64_t)record->pixel_value_length},
        {13, entry->origin.received_us},
        {15, entry->origin.sequence},
        {19, entry->unreadable},
        {20, rows->now_us},
    };
    const buffer_t *fragment = &entry->extract.fragments[LEVEL_INSTANCE];
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        statement_bind_text(insert, texts[i].number, texts[i].text);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        statement_bind_int64(insert, numbers[i].number, numbers[i].value);
    statement_bind_blob(insert, 16, record->dataset_digest, DIGEST_SIZE);
    statement_bind_text_n(insert, 22, fragment->length ? (const char *)fragment->data : "",
                          fragment->length);
}

static status_t instance_put(rows_t *rows, const entry_t *entry, const series_row_t *series,
                             bool *out_inserted)
{
    statement_t *insert = NULL;
    TRY(database_prepare(rows->database, insert_text(), &insert));
    fixed_bind(insert, rows, entry, series);
    rows_bind_columns(insert, LEVEL_INSTANCE, FIXED_COLUMNS + 1, &entry->extract);
    TRY(rows->is_careful ? statement_run(insert) : statement_post_one(insert));
    *out_inserted = !rows->is_careful || database_changed_rows(rows->database) == 1;
    if (!*out_inserted)
        return STATUS_OK;
    rows->counters[COUNTER_INSTANCES]++;
    rows->counters[COUNTER_BYTES] += (int64_t)entry->record.dataset_length;
    rows->counters[COUNTER_UNREADABLE] += entry->unreadable;
    return rows_count_source(rows, entry->source, entry->origin.received_us, 1);
}

static status_t modality_note(rows_t *rows, const entry_t *entry, series_row_t *series)
{
    const char *modality = extract_text_of(&entry->extract, TAG_MODALITY);
    if (strcmp(series->modality, modality) == 0)
        return STATUS_OK;
    snprintf(series->modality, sizeof series->modality, "%s", modality);
    return rows_add_modality(rows, series->study, modality);
}

status_t rows_insert(rows_t *rows, const entry_t *entry, bool *out_inserted)
{
    study_row_t *study = NULL;
    series_row_t *series = NULL;
    *out_inserted = false;
    TRY(rows_lock_study(rows, entry->study_instance_uid));
    TRY(rows_put_parents(rows, entry, &study, &series));
    TRY(instance_put(rows, entry, series, out_inserted));
    if (!*out_inserted)
        return STATUS_OK;
    study->added_instances++;
    series->added_instances++;
    TRY(modality_note(rows, entry, series));
    return rows_change(rows, entry->unreadable ? "instance.unreadable" : "instance.stored",
                       entry->study_instance_uid, entry->series_instance_uid,
                       entry->sop_instance_uid, entry->source);
}

/* ---- changing ---------------------------------------------------------------------------------- */

status_t rows_move_instance(rows_t *rows, const entry_t *entry, const instance_row_t *row)
{
    statement_t *update = NULL;
    TRY(database_prepare(rows->database,
                         "UPDATE instances SET pack = $1, record_offset = $2, dataset_offset = $3"
                         " WHERE id = $4",
                         &update));
    statement_bind_text(update, 1, entry->record.pack.text);
    statement_bind_int64(update, 2, (int64_t)entry->record.offset);
    statement_bind_int64(update, 3, (int64_t)entry->record.dataset_offset);
    statement_bind_int64(update, 4, row->id);
    TRY(statement_post(update));
    return rows_waste(rows, &row->pack, row->dataset_length); /* where it was it is dead */
}

status_t rows_delete_instance(rows_t *rows, int64_t id)
{
    AUTO_STATEMENT *clear = NULL;
    TRY(database_prepare(rows->database,
                         "DELETE FROM instances WHERE id = $1"
                         " RETURNING dataset_length, unreadable, source",
                         &clear));
    statement_bind_int64(clear, 1, id);
    bool row = false;
    TRY(statement_step(clear, &row));
    if (!row)
        return STATUS_OK;
    rows->counters[COUNTER_INSTANCES]--;
    rows->counters[COUNTER_BYTES] -= statement_int64(clear, 0);
    rows->counters[COUNTER_UNREADABLE] -= statement_int64(clear, 1);
    TRY(rows_count_source(rows, statement_text(clear, 2), 0, -1));
    return statement_step(clear, &row);
}
