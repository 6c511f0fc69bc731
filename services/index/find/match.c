#include "index/find/match.h"

#include "base/memory.h"
#include "base/text.h"
#include "index/dataset/fold.h"
#include "index/dataset/values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char alias[LEVEL_COUNT] = {
    [LEVEL_STUDY] = 's', [LEVEL_SERIES] = 'e', [LEVEL_INSTANCE] = 'i'};

/* ---- parameters -------------------------------------------------------------------------------- */

static status_t parameter_add(condition_t *condition, const parameter_t *parameter, int *out_number)
{
    if (condition->parameter_count == MATCH_PARAMETERS_MAX) {
        free(parameter->text);
        return fail(STATUS_TOO_LARGE, "the query has more than %d values", MATCH_PARAMETERS_MAX);
    }
    condition->parameters[condition->parameter_count++] = *parameter;
    *out_number = condition->parameter_count;
    return STATUS_OK;
}

status_t condition_add_text(condition_t *condition, const char *text, size_t length,
                            int *out_number)
{
    parameter_t parameter = {.text = memory_copy_text_n(text, length)};
    return parameter_add(condition, &parameter, out_number);
}

status_t condition_add_number(condition_t *condition, int64_t number, int *out_number)
{
    parameter_t parameter = {.is_number = true, .number = number};
    return parameter_add(condition, &parameter, out_number);
}

void match_bind(const condition_t *condition, statement_t *statement)
{
    for (int i = 0; i < condition->parameter_count; i++) {
        const parameter_t *parameter = &condition->parameters[i];
        if (parameter->is_number)
            statement_bind_int64(statement, i + 1, parameter->number);
        else
            statement_bind_text(statement, i + 1, parameter->text);
    }
}

void condition_destroy(condition_t *condition)
{
    for (int i = 0; i < condition->parameter_count; i++)
        free(condition->parameters[i].text);
    buffer_destroy(&condition->sql);
}

/* ---- one kind of key each ---------------------------------------------------------------------- */

/* " AND column IN ($1, $2 ...)" for a list separated by '\' or ','.         PS3.4 C.2.2.2.2 */
static status_t match_list(condition_t *condition, const char *column, const char *value,
                           bool are_uids)
{
    buffer_printf(&condition->sql, " AND %s IN (", column);
    size_t count = 0;
    while (*value) {
        size_t length = strcspn(value, "\\,");
        const char *next = value + length + (value[length] != 0), *item = value;
        value_trim(&item, &length);
        value = next;
        if (length == 0)
            continue;
        int number = 0;
        if (++count > MATCH_LIST_MAX)
            return fail(STATUS_TOO_LARGE, "a list has more than %d values", MATCH_LIST_MAX);
        AUTO_FREE char *copy = memory_copy_text_n(item, length);
        if (are_uids && !uid_is_valid(copy))
            return fail(STATUS_INVALID, "a UID to match is not one");
        TRY(condition_add_text(condition, item, length, &number));
        buffer_printf(&condition->sql, "%s$%d", count > 1 ? ", " : "", number);
    }
    buffer_append_text(&condition->sql, ")");
    return count ? STATUS_OK : fail(STATUS_INVALID, "a list to match is empty");
}

/* Code strings know no ',' and '\', so those separate; other identifiers are taken literally. */
static status_t match_exact(condition_t *condition, const attribute_t *attribute,
                            const char *column, const char *value)
{
    if (strcmp(attribute->vr, "CS") == 0 && strpbrk(value, "\\,") && !strpbrk(value, "*?"))
        return match_list(condition, column, value, false);
    return match_pattern(condition, column, value, strlen(value));
}

static status_t match_folded(condition_t *condition, const char *column, const char *value)
{
    AUTO_BUFFER folded = {0};
    fold_append(&folded, value, strlen(value));
    return match_pattern(condition, column, buffer_text(&folded), folded.length);
}

static status_t match_number(condition_t *condition, const char *column, const char *value)
{
    int64_t wanted = 0;
    int number = 0;
    if (!value_number(value, strlen(value), &wanted))
        return fail(STATUS_INVALID, "a number to match is not one");
    TRY(condition_add_number(condition, wanted, &number));
    buffer_printf(&condition->sql, " AND %s = $%d", column, number);
    return STATUS_OK;
}

/* Any instance of the study has one of these modalities.                             PS3.4 C.3.4 */
static status_t match_modalities(condition_t *condition, const char *value)
{
    buffer_append_text(&condition->sql,
                       " AND EXISTS (SELECT 1 FROM modalities m WHERE m.study = s.id");
    if (strpbrk(value, "*?"))
        TRY(match_pattern(condition, "m.modality", value, strlen(value)));
    else
        TRY(match_list(condition, "m.modality", value, false));
    buffer_append_text(&condition->sql, ")");
    return STATUS_OK;
}

static status_t match_value(condition_t *condition, const attribute_t *attribute, const char *value,
                            bool fuzzy)
{
    char column[64] = "";
    if (attribute->column)
        snprintf(column, sizeof column, "%c.%s", alias[attribute->level], attribute->column);
    switch (attribute->match) {
    case MATCH_UID:
        return match_list(condition, column, value, true);
    case MATCH_EXACT:
        return match_exact(condition, attribute, column, value);
    case MATCH_TEXT:
        return match_folded(condition, column, value);
    case MATCH_NAME:
        return match_name(condition, attribute->tag, value, fuzzy);
    case MATCH_DATE:
        return match_date(condition, column, value);
    case MATCH_TIME:
        return match_time(condition, column, value);
    case MATCH_NUMBER:
        return match_number(condition, column, value);
    case MATCH_MODALITIES:
        return match_modalities(condition, value);
    case MATCH_NONE:
        break;
    }
    return fail(STATUS_INVALID, "attribute %08X cannot be matched", attribute->tag);
}

/* ---- all keys ---------------------------------------------------------------------------------- */

/* Nothing, or only '*'.                                                          PS3.4 C.2.2.2.3 */
static bool is_universal(const char *value)
{
    return value[strspn(value, "* ")] == 0;
}

/* A key of a lower level: something below has it. */
static void below_open(condition_t *condition, level_t level, level_t of_attribute)
{
    if (of_attribute == LEVEL_SERIES)
        buffer_append_text(&condition->sql,
                           " AND EXISTS (SELECT 1 FROM series e WHERE e.study = s.id");
    else
        buffer_printf(&condition->sql, " AND EXISTS (SELECT 1 FROM instances i WHERE i.%s",
                      level == LEVEL_STUDY ? "study = s.id" : "series = e.id");
}

static status_t match_term(condition_t *condition, level_t level, const term_t *term, bool fuzzy)
{
    const attribute_t *attribute = attribute_find(term->tag);
    if (!attribute)
        return fail(STATUS_INVALID, "attribute %08X is not a matching key", term->tag);
    if (is_universal(term->value))
        return STATUS_OK;
    if (strlen(term->value) > MATCH_VALUE_MAX)
        return fail(STATUS_TOO_LARGE, "a value to match has more than %d bytes", MATCH_VALUE_MAX);
    condition->names_study |= term->tag == 0x0020000D;
    condition->names_series |= term->tag == 0x0020000E;
    bool below = attribute->level > level;
    condition->speaks_of[below ? level : attribute->level] = true;
    if (below)
        below_open(condition, level, attribute->level);
    TRY(match_value(condition, attribute, term->value, fuzzy));
    if (below)
        buffer_append_text(&condition->sql, ")");
    return STATUS_OK;
}

/* A range of dates and one of times of the same thing are one range of instants. */
static const uint32_t instants[][2] = {
    {0x00080020, 0x00080030}, {0x00080021, 0x00080031}, {0x00080022, 0x00080032},
    {0x00080023, 0x00080033}, {0x00400244, 0x00400245},
};

/* The position of the time range that goes with this date range, or count. */
static size_t partner_find(const term_t *terms, size_t count, size_t date)
{
    if (!strchr(terms[date].value, '-'))
        return count;
    for (size_t i = 0; i < sizeof instants / sizeof *instants; i++)
        for (size_t k = 0; instants[i][0] == terms[date].tag && k < count; k++)
            if (terms[k].tag == instants[i][1] && strchr(terms[k].value, '-'))
                return k;
    return count;
}

status_t match_terms(condition_t *condition, level_t level, const term_t *terms, size_t count,
                     bool fuzzy)
{
    bool done[MATCH_TERMS_MAX] = {false};
    if (count > MATCH_TERMS_MAX)
        return fail(STATUS_TOO_LARGE, "the query has more than %d keys", MATCH_TERMS_MAX);
    for (size_t i = 0; i < count; i++) {
        size_t partner = partner_find(terms, count, i);
        const attribute_t *date = attribute_find(terms[i].tag);
        if (partner == count || done[partner] || !date || date->level > level)
            continue;
        char columns[2][64];
        snprintf(columns[0], sizeof columns[0], "%c.%s", alias[date->level], date->column);
        snprintf(columns[1], sizeof columns[1], "%c.%s", alias[date->level],
                 attribute_find(terms[partner].tag)->column);
        TRY(match_instants(condition, columns[0], terms[i].value, columns[1],
                           terms[partner].value));
        condition->speaks_of[date->level] = true;
        done[i] = done[partner] = true;
    }
    for (size_t i = 0; i < count; i++)
        if (!done[i])
            TRY(match_term(condition, level, &terms[i], fuzzy));
    return STATUS_OK;
}
