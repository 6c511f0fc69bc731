#include "index/dataset/fold.h"
#include "index/rows/rows.h"

#include <stdio.h>
#include <string.h>

/* ---- columns ----------------------------------------------------------------------------------- */

static bool is_column_of(const attribute_t *attribute, level_t level)
{
    return attribute->level == level && attribute->column && !attribute->computed;
}

void rows_append_columns(buffer_t *sql, level_t level, columns_t form, int first_number)
{
    int number = first_number;
    for (size_t i = 0; i < attribute_count; i++) {
        if (!is_column_of(&attributes[i], level))
            continue;
        if (form == COLUMNS_SET)
            buffer_printf(sql, ", %s = $%d", attributes[i].column, number++);
        else if (form == COLUMNS_NAMES)
            buffer_printf(sql, ", %s", attributes[i].column);
        else
            buffer_printf(sql, ", $%d", number++);
    }
}

void rows_bind_columns(statement_t *statement, level_t level, int first_number,
                       const extract_t *extract)
{
    int number = first_number;
    for (size_t i = 0; i < attribute_count; i++) {
        if (!is_column_of(&attributes[i], level))
            continue;
        if (attributes[i].match != MATCH_NUMBER)
            statement_bind_text(statement, number, extract_text(extract, i));
        else if (extract->values[i].known)
            statement_bind_int64(statement, number, extract->values[i].number);
        else
            statement_bind_null(statement, number);
        number++;
    }
}

/* ---- studies and series ------------------------------------------------------------------------ */

/* UPDATE <table> SET fragment = $1, first_... = $2 .. $4, <column> = $n ... WHERE id = $5, with the
 * columns that attributes.c names for the level. */
enum { FRAGMENT = 1, FIRST_RECEIVED, FIRST_PACK, FIRST_SEQUENCE, ROW_ID, FIRST_COLUMN };

static const char *update_text(level_t level)
{
    static buffer_t texts[LEVEL_COUNT]; /* rows are written by one thread at a time */
    buffer_t *text = &texts[level];
    if (text->length)
        return buffer_text(text);
    buffer_printf(text,
                  "UPDATE %s SET fragment = $%d, first_received_us = $%d, first_pack = $%d,"
                  " first_sequence = $%d",
                  level == LEVEL_STUDY ? "studies" : "series", FRAGMENT, FIRST_RECEIVED, FIRST_PACK,
                  FIRST_SEQUENCE);
    rows_append_columns(text, level, COLUMNS_SET, FIRST_COLUMN);
    buffer_printf(text, " WHERE id = $%d", ROW_ID);
    return buffer_text(text);
}

static status_t level_set(rows_t *rows, level_t level, int64_t id, const entry_t *entry)
{
    statement_t *update = NULL;
    TRY(database_prepare(rows->database, update_text(level), &update));
    const buffer_t *fragment = &entry->extract.fragments[level];
    statement_bind_text_n(update, FRAGMENT, fragment->length ? (const char *)fragment->data : "",
                          fragment->length);
    statement_bind_int64(update, FIRST_RECEIVED, entry->origin.received_us);
    statement_bind_text(update, FIRST_PACK, entry->origin.pack.text);
    statement_bind_int64(update, FIRST_SEQUENCE, entry->origin.sequence);
    statement_bind_int64(update, ROW_ID, id);
    rows_bind_columns(update, level, FIRST_COLUMN, &entry->extract);
    return statement_post(update);
}

static status_t name_add(rows_t *rows, int64_t study, uint32_t tag, int word, const char *name,
                         size_t length)
{
    statement_t *insert = NULL;
    if (length == 0)
        return STATUS_OK;
    TRY(database_prepare(rows->database,
                         "INSERT INTO names (study, tag, word, name) VALUES ($1, $2, $3, $4)",
                         &insert));
    statement_bind_int64(insert, 1, study);
    statement_bind_int64(insert, 2, tag);
    statement_bind_int64(insert, 3, word);
    statement_bind_text_n(insert, 4, name, length);
    return statement_post(insert);
}

/* One component group: as a whole, and the words of its components. */
static status_t group_add(rows_t *rows, int64_t study, uint32_t tag, const char *group,
                          size_t length)
{
    AUTO_BUFFER folded = {0};
    fold_append_name(&folded, group, length);
    const char *name = buffer_text(&folded);
    TRY(name_add(rows, study, tag, 0, name, folded.length));
    for (size_t i = 0; i < folded.length;) {
        size_t word = strcspn(name + i, " ^-,.");
        TRY(name_add(rows, study, tag, 1, name + i, word));
        i += word + 1;
    }
    return STATUS_OK;
}

/* Groups are separated by '=', several names (rare) by '\'.                        PS3.5 6.2.1 */
static status_t names_set(rows_t *rows, int64_t study, const extract_t *extract)
{
    statement_t *clear = NULL;
    TRY(database_prepare(rows->database, "DELETE FROM names WHERE study = $1", &clear));
    statement_bind_int64(clear, 1, study);
    TRY(statement_post(clear));
    for (size_t i = 0; i < attribute_count; i++) {
        if (attributes[i].match != MATCH_NAME)
            continue;
        const char *text = extract_text(extract, i);
        while (*text) {
            size_t length = strcspn(text, "=\\");
            TRY(group_add(rows, study, attributes[i].tag, text, length));
            text += length + (text[length] != 0);
        }
    }
    return STATUS_OK;
}

status_t rows_set_study(rows_t *rows, int64_t study, const entry_t *entry)
{
    TRY(level_set(rows, LEVEL_STUDY, study, entry));
    return names_set(rows, study, &entry->extract);
}

status_t rows_set_series(rows_t *rows, int64_t series, const entry_t *entry)
{
    return level_set(rows, LEVEL_SERIES, series, entry);
}

/* The study's row says them ready for an answer. */
static status_t modalities_join(rows_t *rows, int64_t study)
{
    AUTO_BUFFER modalities = {0};
    AUTO_STATEMENT *find = NULL;
    TRY(database_prepare(rows->database,
                         "SELECT modality FROM modalities WHERE study = $1 ORDER BY modality",
                         &find));
    statement_bind_int64(find, 1, study);
    for (bool row = true;;) {
        TRY(statement_step(find, &row));
        if (!row)
            break;
        if (modalities.length)
            buffer_append_byte(&modalities, '\\');
        buffer_append_text(&modalities, statement_text(find, 0));
    }
    statement_t *update = NULL;
    TRY(database_prepare(rows->database, "UPDATE studies SET modalities = $1 WHERE id = $2",
                         &update));
    statement_bind_text(update, 1, buffer_text(&modalities));
    statement_bind_int64(update, 2, study);
    return statement_post(update);
}

status_t rows_add_modality(rows_t *rows, int64_t study, const char *modality)
{
    if (!*modality)
        return STATUS_OK;
    statement_t *insert = NULL;
    TRY(database_prepare(rows->database,
                         "INSERT INTO modalities (study, modality) VALUES ($1, $2)"
                         " ON CONFLICT (study, modality) DO NOTHING",
                         &insert));
    statement_bind_int64(insert, 1, study);
    statement_bind_text(insert, 2, modality);
    TRY(statement_run(insert));
    return database_changed_rows(rows->database) ? modalities_join(rows, study) : STATUS_OK;
}

status_t rows_settle_modalities(rows_t *rows, int64_t study)
{
    statement_t *clear = NULL;
    TRY(database_prepare(rows->database,
                         "DELETE FROM modalities WHERE study = $1 AND NOT EXISTS (SELECT 1 FROM"
                         " instances i WHERE i.study = $1 AND i.modality = modalities.modality)",
                         &clear));
    statement_bind_int64(clear, 1, study);
    TRY(statement_run(clear));
    return database_changed_rows(rows->database) ? modalities_join(rows, study) : STATUS_OK;
}
