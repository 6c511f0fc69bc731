#include "index/find/page.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

/* A far place is counted up to in steps, so that the next far page finds one nearby. */
enum { PAGE_STEP_MIN = 1000, PAGE_STEPS_MAX = 64 };

#define SERIES_NUMBER   "COALESCE(e.series_number, 9223372036854775807)"
#define INSTANCE_NUMBER "COALESCE(i.instance_number, 9223372036854775807)"

#define NUMBER(name)                                                                               \
    {                                                                                              \
        name, false                                                                                \
    }
#define TEXT(name)                                                                                 \
    {                                                                                              \
        name, true                                                                                 \
    }
#define SERIES_ORIGIN                                                                              \
    NUMBER("e.first_received_us"), TEXT("e.first_pack"), NUMBER("e.first_sequence")
#define INSTANCE_ORIGIN NUMBER("i.received_us"), TEXT("i.origin_pack"), NUMBER("i.origin_sequence")

enum {
    ORDER_STUDIES,
    ORDER_SERIES,
    ORDER_SERIES_OF_STUDY,
    ORDER_INSTANCES,
    ORDER_INSTANCES_OF_STUDY,
    ORDER_COUNT
};

/* Newest studies first, along the index studies_newest. Below a named study the order is that of
 * the numbers that people know; across studies that of arrival. */
static const order_t orders[ORDER_COUNT] = {
    [ORDER_STUDIES] = {.is_descending = true,
                       .column_count = 3,
                       .columns = {TEXT("s.study_date"), TEXT("s.study_time"),
                                   TEXT("s.study_instance_uid")}},
    [ORDER_SERIES] = {.column_count = 3, .columns = {SERIES_ORIGIN}},
    [ORDER_SERIES_OF_STUDY] = {.column_count = 4,
                               .columns = {NUMBER(SERIES_NUMBER), SERIES_ORIGIN}},
    [ORDER_INSTANCES] = {.column_count = 3, .columns = {INSTANCE_ORIGIN}},
    [ORDER_INSTANCES_OF_STUDY] = {.needs_series = true,
                                  .column_count = 8,
                                  .columns = {NUMBER(SERIES_NUMBER), SERIES_ORIGIN,
                                              NUMBER(INSTANCE_NUMBER), INSTANCE_ORIGIN}},
};

static const order_t *order_of(level_t level, const condition_t *condition)
{
    bool named = condition->names_study || condition->names_series;
    if (level == LEVEL_STUDY)
        return &orders[ORDER_STUDIES];
    if (level == LEVEL_SERIES)
        return &orders[named ? ORDER_SERIES_OF_STUDY : ORDER_SERIES];
    return &orders[named ? ORDER_INSTANCES_OF_STUDY : ORDER_INSTANCES];
}

/* ---- the query, without limit and offset ------------------------------------------------------- */

static query_digest_t digest_of(level_t level, const condition_t *condition)
{
    AUTO_BUFFER text = {0};
    query_digest_t digest = {0};
    buffer_printf(&text, "%d", (int)level);
    buffer_append(&text, condition->sql.data, condition->sql.length);
    for (int i = 0; i < condition->parameter_count; i++) {
        const parameter_t *parameter = &condition->parameters[i];
        if (parameter->is_number)
            buffer_printf(&text, "\n%lld", (long long)parameter->number);
        else
            buffer_printf(&text, "\n%zu:%s", strlen(parameter->text), parameter->text);
    }
    crypto_sha256(text.data, text.length, digest.bytes);
    return digest;
}

/* ---- SQL --------------------------------------------------------------------------------------- */

void page_append_columns(const page_t *page, buffer_t *sql)
{
    for (int i = 0; i < page->order->column_count; i++)
        buffer_printf(sql, "%s%s", i ? ", " : "", page->order->columns[i].name);
}

void page_append_where(const page_t *page, buffer_t *sql)
{
    const order_t *order = page->order;
    int number = page->condition->parameter_count;
    buffer_append_text(sql, " WHERE 1 = 1");
    /* Before the condition: of this and the end of a range of dates SQLite takes the first to enter
     * the index with. */
    if (!page->is_first) {
        buffer_append_text(sql, " AND (");
        page_append_columns(page, sql);
        buffer_printf(sql, ") %c (", order->is_descending ? '<' : '>');
        for (int i = 0; i < order->column_count; i++)
            buffer_printf(sql, "%s$%d", i ? ", " : "", ++number);
        buffer_append_text(sql, ")");
    }
    buffer_append(sql, page->condition->sql.data, page->condition->sql.length);
    buffer_append_text(sql, " ORDER BY ");
    for (int i = 0; i < order->column_count; i++)
        buffer_printf(sql, "%s%s%s", i ? ", " : "", order->columns[i].name,
                      order->is_descending ? " DESC" : "");
    buffer_printf(sql, " LIMIT $%d", number + 1);
}

/* Only the tables that the condition and the order speak of. */
static void append_tables(const page_t *page, buffer_t *sql)
{
    static const char *const tables[LEVEL_COUNT] = {
        [LEVEL_STUDY] = "studies s", [LEVEL_SERIES] = "series e", [LEVEL_INSTANCE] = "instances i"};
    const bool *speaks_of = page->condition->speaks_of;
    buffer_printf(sql, " FROM %s", tables[page->level]);
    if (page->level == LEVEL_INSTANCE && (speaks_of[LEVEL_SERIES] || page->order->needs_series))
        buffer_append_text(sql, " JOIN series e ON e.id = i.series");
    if (page->level != LEVEL_STUDY && speaks_of[LEVEL_STUDY])
        buffer_printf(sql, " JOIN studies s ON s.id = %s",
                      page->level == LEVEL_SERIES ? "e.study" : "i.study");
}

/* ---- values ------------------------------------------------------------------------------------ */

/* The number of the next parameter. */
static int bind(const page_t *page, statement_t *statement)
{
    int number = page->condition->parameter_count;
    match_bind(page->condition, statement);
    for (int i = 0; !page->is_first && i < page->order->column_count; i++) {
        if (page->order->columns[i].is_text)
            statement_bind_text(statement, ++number, page->begin.place.texts[i]);
        else
            statement_bind_int64(statement, ++number, page->begin.place.numbers[i]);
    }
    return number + 1;
}

void page_bind(const page_t *page, statement_t *statement, uint32_t limit)
{
    int number = bind(page, statement);
    statement_bind_int64(statement, number, limit);
}

place_t page_place(const page_t *page, statement_t *statement, int first_column)
{
    place_t place = {0};
    for (int i = 0; i < page->order->column_count; i++) {
        if (page->order->columns[i].is_text)
            snprintf(place.texts[i], sizeof place.texts[i], "%s",
                     statement_text(statement, first_column + i));
        else
            place.numbers[i] = statement_int64(statement, first_column + i);
    }
    return place;
}

/* ---- places ------------------------------------------------------------------------------------ */

/* Moves the begin of the page on by so many rows. */
static status_t step(page_t *page, uint32_t rows, bool *out_is_past_end)
{
    AUTO_BUFFER sql = {0};
    AUTO_STATEMENT *find = NULL;
    bool row = false;
    buffer_append_text(&sql, "SELECT ");
    page_append_columns(page, &sql);
    append_tables(page, &sql);
    page_append_where(page, &sql);
    int offset_number =
        page->condition->parameter_count + (page->is_first ? 0 : page->order->column_count) + 2;
    buffer_printf(&sql, " OFFSET $%d", offset_number);
    TRY(database_prepare(page->reader, buffer_text(&sql), &find));
    page_bind(page, find, 1);
    statement_bind_int64(find, offset_number, (int64_t)rows - 1);
    TRY(statement_step(find, &row));
    *out_is_past_end = !row;
    if (!row)
        return STATUS_OK;
    place_t place = page_place(page, find, 0);
    page->is_first = false;
    page->begin.offset += rows;
    page->begin.place = place;
    bookmark_note(&page->query, &page->begin, clock_monotonic_ms());
    return STATUS_OK;
}

static status_t walk(page_t *page, uint32_t offset, bool *out_is_past_end)
{
    uint32_t stride = (offset - page->begin.offset) / PAGE_STEPS_MAX;
    if (stride < PAGE_STEP_MIN)
        stride = PAGE_STEP_MIN;
    while (page->begin.offset < offset && !*out_is_past_end) {
        uint32_t left = offset - page->begin.offset;
        TRY(step(page, left < stride ? left : stride, out_is_past_end));
    }
    return STATUS_OK;
}

/* Every change of rows is in the feed. */
static status_t version_read(database_t *reader, int64_t *out_version)
{
    AUTO_STATEMENT *find = NULL;
    bool row = false;
    TRY(database_prepare(reader, "SELECT MAX(id) FROM changes", &find));
    TRY(statement_step(find, &row));
    *out_version = row ? statement_int64(find, 0) : 0;
    return STATUS_OK;
}

status_t page_begin(page_t *out_page, database_t *reader, level_t level,
                    const condition_t *condition, uint32_t offset, bool *out_is_empty)
{
    int64_t now_ms = clock_monotonic_ms(), version = BOOKMARK_VERSION_UNKNOWN;
    *out_page = (page_t){.reader = reader,
                         .level = level,
                         .condition = condition,
                         .order = order_of(level, condition),
                         .query = digest_of(level, condition),
                         .is_first = true,
                         .begin = {.begun_ms = now_ms, .version = version}};
    *out_is_empty = false;
    if (offset == 0) /* the most common question: what it tells of places costs it nothing */
        return STATUS_OK;
    TRY(version_read(reader, &version));
    out_page->is_first =
        !bookmark_find(&out_page->query, offset, version, now_ms, &out_page->begin);
    if (out_page->is_first || out_page->begin.offset != offset)
        out_page->begin.is_end = false;
    if (out_page->is_first)
        out_page->begin.version = version;
    return walk(out_page, offset, out_is_empty);
}

void page_end(const page_t *page, uint32_t rows, const place_t *place, bool more)
{
    bookmark_t end = page->begin;
    uint32_t from = end.offset;
    end.offset += rows;
    bookmarks_supersede(&page->query, from, more ? end.offset : UINT32_MAX, end.begun_ms);
    /* Most answers have one page: nobody will go on there. */
    if (end.offset <= from || (page->is_first && !more))
        return;
    end.place = *place;
    end.is_end = true;
    end.is_continued = false;
    bookmark_note(&page->query, &end, clock_monotonic_ms());
}
