#include "index/find/find.h"

#include "base/memory.h"
#include "index/find/answer.h"
#include "index/find/match.h"
#include "index/find/page.h"

#include <stdlib.h>
#include <string.h>

bool scope_sees_all(const Index__Scope *scope)
{
    return scope && scope->kind == INDEX__SCOPE__KIND__ALL;
}

/* ---- which attributes -------------------------------------------------------------------------- */

static void warn(Index__Found *reply, uint32_t tag, const char *why)
{
    if (reply->n_warnings >= FIND_WARNINGS_MAX)
        return;
    reply->warnings =
        memory_resize(reply->warnings, (reply->n_warnings + 1) * sizeof *reply->warnings);
    reply->warnings[reply->n_warnings++] = memory_format("includefield %08X %s", tag, why);
}

static void include(answer_shape_t *shape, level_t level, uint32_t tag, Index__Found *reply)
{
    /* Character set: always there. RetrieveURL: the caller's. */
    if (tag == 0x00080005 || tag == 0x00081190)
        return;
    const attribute_t *attribute = attribute_find(tag);
    if (attribute && attribute->within)
        attribute = attribute_find(attribute->within);
    if (!attribute)
        warn(reply, tag, "is not supported");
    else if (attribute->level > level)
        warn(reply, tag, "is not an attribute of this level");
    else if (!shape->wanted[attribute - attributes])
        shape->wanted[attribute - attributes] = ANSWER_KNOWN;
}

static status_t shape_make(answer_shape_t *shape, const Index__Find *query,
                           const condition_t *condition, Index__Found *reply)
{
    level_t level = (level_t)query->level;
    answer_shape_default(shape, level, condition->names_study, condition->names_series);
    if (query->n_include_tags > FIND_INCLUDES_MAX)
        return fail(STATUS_TOO_LARGE, "more than %d attributes to include", FIND_INCLUDES_MAX);
    for (size_t i = 0; i < query->n_include_tags; i++)
        include(shape, level, query->include_tags[i], reply);
    for (size_t i = 0; query->include_all && i < attribute_count; i++)
        if (attributes[i].level <= level && !attributes[i].within && !shape->wanted[i])
            shape->wanted[i] = ANSWER_KNOWN;
    return STATUS_OK;
}

/* ---- the statement ----------------------------------------------------------------------------- */

/* All columns of a row, and behind them those of the order. */
static status_t statement_make(const page_t *page, uint32_t limit, statement_t **out_statement)
{
    AUTO_BUFFER sql = {0};
    buffer_append_text(&sql,
                       "SELECT s.fragment, s.study_instance_uid, s.modalities, s.series_count,"
                       " s.instance_count, ");
    if (page->level >= LEVEL_SERIES)
        buffer_append_text(&sql, "e.fragment, e.series_instance_uid, e.instance_count, ");
    if (page->level >= LEVEL_INSTANCE)
        buffer_append_text(&sql, "i.fragment, i.sop_instance_uid, i.sop_class_uid, ");
    page_append_columns(page, &sql);
    buffer_append_text(&sql, " FROM studies s");
    if (page->level >= LEVEL_SERIES)
        buffer_append_text(&sql, " JOIN series e ON e.study = s.id");
    if (page->level >= LEVEL_INSTANCE)
        buffer_append_text(&sql, " JOIN instances i ON i.series = e.id");
    page_append_where(page, &sql);
    TRY(database_prepare(page->reader, buffer_text(&sql), out_statement));
    page_bind(page, *out_statement, limit + 1);
    return STATUS_OK;
}

static int order_column(level_t level)
{
    return level == LEVEL_STUDY ? 5 : level == LEVEL_SERIES ? 8 : 11;
}

/* ---- the answer -------------------------------------------------------------------------------- */

static answer_row_t row_read(statement_t *find, level_t level)
{
    answer_row_t row = {.level = level, .fragments = {"", "", "", ""}};
    row.fragments[LEVEL_STUDY] = statement_text(find, 0);
    row.study_instance_uid = statement_text(find, 1);
    row.modalities = statement_text(find, 2);
    row.series_count = statement_int64(find, 3);
    row.study_instances = statement_int64(find, 4);
    row.series_instance_uid = row.sop_instance_uid = row.sop_class_uid = "";
    if (level >= LEVEL_SERIES) {
        row.fragments[LEVEL_SERIES] = statement_text(find, 5);
        row.series_instance_uid = statement_text(find, 6);
        row.series_instances = statement_int64(find, 7);
    }
    if (level >= LEVEL_INSTANCE) {
        row.fragments[LEVEL_INSTANCE] = statement_text(find, 8);
        row.sop_instance_uid = statement_text(find, 9);
        row.sop_class_uid = statement_text(find, 10);
    }
    return row;
}

static Index__Match *match_make(const answer_row_t *row, buffer_t *json)
{
    Index__Match *match = memory_allocate(sizeof *match);
    index__match__init(match);
    match->study_instance_uid = memory_copy_text(row->study_instance_uid);
    match->series_instance_uid = memory_copy_text(row->series_instance_uid);
    match->sop_instance_uid = memory_copy_text(row->sop_instance_uid);
    match->json.data = memory_copy(json->data, json->length);
    match->json.len = json->length;
    return match;
}

/* place: that of the last match. */
static status_t matches_collect(statement_t *find, const page_t *page, const answer_shape_t *shape,
                                uint32_t limit, Index__Found *reply, place_t *place)
{
    enum { FRAMING = 3 * 70 + 16 };
    AUTO_BUFFER json = {0};
    size_t size = 0;
    reply->matches = memory_allocate((limit + 1) * sizeof *reply->matches);
    for (bool found = true;;) {
        TRY(statement_step(find, &found));
        if (!found)
            return STATUS_OK;
        answer_row_t row = row_read(find, page->level);
        buffer_clear(&json);
        answer_append(&json, shape, &row);
        /* A single row of over a page would stop the caller for ever; members are limited to
         * EXTRACT_MEMBER_MAX, so at most the frame grows. */
        if (reply->n_matches == limit ||
            (reply->n_matches && size + json.length + FRAMING > FIND_PAGE_MAX)) {
            reply->more = true;
            return STATUS_OK;
        }
        size += json.length + FRAMING;
        reply->matches[reply->n_matches++] = match_make(&row, &json);
        *place = page_place(page, find, order_column(page->level));
    }
}

static status_t page_answer(const page_t *page, const answer_shape_t *shape, uint32_t limit,
                            Index__Found *reply)
{
    AUTO_STATEMENT *find = NULL;
    place_t last = {0};
    TRY(statement_make(page, limit, &find));
    TRY(matches_collect(find, page, shape, limit, reply, &last));
    page_end(page, (uint32_t)reply->n_matches, &last, reply->more);
    return STATUS_OK;
}

static status_t find_with(database_t *reader, const Index__Find *query, condition_t *condition,
                          Index__Found *reply)
{
    term_t terms[MATCH_TERMS_MAX];
    answer_shape_t shape;
    page_t page;
    bool is_empty = false;
    level_t level = (level_t)query->level;
    uint32_t limit = query->limit && query->limit < FIND_LIMIT_MAX ? query->limit : FIND_LIMIT_MAX;
    if (query->n_terms > MATCH_TERMS_MAX)
        return fail(STATUS_TOO_LARGE, "the query has more than %d keys", MATCH_TERMS_MAX);
    for (size_t i = 0; i < query->n_terms; i++)
        terms[i] = (term_t){query->terms[i]->tag, query->terms[i]->value};
    TRY(match_terms(condition, level, terms, query->n_terms, query->fuzzy));
    TRY(shape_make(&shape, query, condition, reply));
    TRY(page_begin(&page, reader, level, condition, query->offset, &is_empty));
    return is_empty ? STATUS_OK : page_answer(&page, &shape, limit, reply);
}

status_t find_run(database_t *reader, const Index__Find *query, Index__Found *reply)
{
    if (query->level < INDEX__LEVEL__STUDY || query->level > INDEX__LEVEL__INSTANCE)
        return fail(STATUS_INVALID, "a query needs level STUDY, SERIES or INSTANCE");
    if (!scope_sees_all(query->scope))
        return STATUS_OK;
    condition_t *condition = memory_allocate(sizeof *condition);
    status_t status = find_with(reader, query, condition, reply);
    condition_destroy(condition);
    free(condition);
    return status;
}
