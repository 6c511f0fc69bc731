#include "dicomweb/query/query_parse.h"

#include "base/text.h"
#include "dicom/dictionary.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { KEYWORD_MAX = 64, NAME_SHOWN = 40 };

/* A name of a peer's choosing in our own sentence: letters and digits, cut. */
static const char *shown(const char *name, char out_text[NAME_SHOWN + 1])
{
    size_t length = 0;
    for (; length < NAME_SHOWN && name[length]; length++)
        out_text[length] = isalnum((unsigned char)name[length]) ? name[length] : '.';
    out_text[length] = '\0';
    return out_text;
}

static bool parse_one(const char *text, size_t length, uint32_t *out_tag)
{
    char name[KEYWORD_MAX + 1];
    if (length == 0 || length > KEYWORD_MAX)
        return false;
    memcpy(name, text, length);
    name[length] = '\0';
    return dicom_tag_from_text(name, out_tag);
}

status_t qido_attribute_parse(const char *text, size_t length, uint32_t *out_tag, bool *out_is_path)
{
    const char *end = text + length;
    const char *at = text;
    uint32_t first = 0;
    for (int i = 0;; i++) {
        const char *dot = memchr(at, '.', (size_t)(end - at));
        uint32_t tag;
        if (i == QUERY_PATH_MAX || !parse_one(at, (size_t)((dot ? dot : end) - at), &tag)) {
            char name[NAME_SHOWN + 1];
            return fail(STATUS_INVALID, "%s is no attribute", shown(text, name));
        }
        if (i == 0)
            first = tag;
        if (!dot)
            break;
        at = dot + 1;
    }
    *out_tag = first;
    *out_is_path = at != text;
    return STATUS_OK;
}

static status_t add_fields(qido_query_t *query, const char *list)
{
    for (const char *at = list; *at;) {
        size_t length = strcspn(at, ",");
        uint32_t tag;
        bool is_path;
        if (length == 3 && strncasecmp(at, "all", 3) == 0) {
            query->include_all = true;
        } else if (length > 0) {
            TRY(qido_attribute_parse(at, length, &tag, &is_path));
            if (query->field_count == QUERY_FIELDS_MAX)
                return fail(STATUS_TOO_LARGE, "over %d attributes in includefield",
                            QUERY_FIELDS_MAX);
            query->fields[query->field_count++] = tag;
        }
        at += length + (at[length] == ',');
    }
    return STATUS_OK;
}

static status_t read_bool(const http_query_term_t *term, bool *out_value)
{
    if (strcmp(term->value, "true") == 0)
        *out_value = true;
    else if (strcmp(term->value, "false") == 0)
        *out_value = false;
    else
        return fail(STATUS_INVALID, "%s is true or false", term->name);
    return STATUS_OK;
}

static status_t read_count(const http_query_term_t *term, bool is_again, uint64_t *out_value)
{
    uint64_t value;
    if (!text_to_uint64(term->value, &value) || value > UINT32_MAX)
        return fail(STATUS_INVALID, "%s is a number from 0", term->name);
    if (is_again && value != *out_value)
        return fail(STATUS_INVALID, "%s comes twice with different values", term->name);
    *out_value = value;
    return STATUS_OK;
}

static status_t add_key(qido_query_t *query, const http_query_term_t *term)
{
    uint32_t tag;
    bool is_path;
    TRY(qido_attribute_parse(term->name, strlen(term->name), &tag, &is_path));
    if (is_path)
        return fail(STATUS_INVALID, "matching inside a sequence is not supported");
    for (size_t i = 0; i < query->term_count; i++)
        if (query->terms[i].tag == tag && strcmp(query->terms[i].value, term->value) == 0)
            return STATUS_OK;
    if (query->term_count == QUERY_TERMS_MAX)
        return fail(STATUS_TOO_LARGE, "over %d attributes to match", QUERY_TERMS_MAX);
    query->terms[query->term_count].tag = tag;
    query->terms[query->term_count++].value = term->value;
    return STATUS_OK;
}

static status_t read_term(qido_query_t *query, const http_query_term_t *term, bool *has_offset)
{
    if (term->name[0] == '\0' || strcmp(term->name, "accept") == 0) /* see negotiate_read() */
        return STATUS_OK;
    if (strcmp(term->name, "includefield") == 0)
        return add_fields(query, term->value);
    if (strcmp(term->name, "fuzzymatching") == 0)
        return read_bool(term, &query->fuzzy);
    if (strcmp(term->name, "emptyvaluematching") == 0)
        return read_bool(term, &query->warn_empty_values);
    if (strcmp(term->name, "limit") == 0) {
        TRY(read_count(term, query->has_limit, &query->limit));
        query->has_limit = true;
        return STATUS_OK;
    }
    if (strcmp(term->name, "offset") == 0) {
        TRY(read_count(term, *has_offset, &query->offset));
        *has_offset = true;
        return STATUS_OK;
    }
    return add_key(query, term);
}

status_t qido_query_parse(const http_query_t *query, qido_query_t *out_query)
{
    qido_query_t parsed = {0};
    bool has_offset = false;
    for (size_t i = 0; i < query->count; i++)
        TRY(read_term(&parsed, &query->terms[i], &has_offset));
    *out_query = parsed;
    return STATUS_OK;
}

/* Behind the closing quote of the string that begins at *at. */
static size_t skip_string(const char *json, size_t length, size_t at)
{
    for (at++; at < length && json[at] != '"'; at++)
        at += json[at] == '\\';
    return at + 1;
}

size_t qido_url_position(const char *json, size_t length)
{
    int depth = 0;
    bool is_key = true;
    size_t at = 0;
    while (at < length) {
        switch (json[at]) {
        case '"':
            if (depth == 1 && is_key && at + 9 < length && memcmp(json + at + 1, "00081190", 8) > 0)
                return at;
            at = skip_string(json, length, at);
            continue;
        case '{':
        case '[':
            depth++;
            break;
        case '}':
        case ']':
            if (--depth == 0)
                return at;
            break;
        case ':':
            is_key = is_key && depth != 1;
            break;
        case ',':
            is_key = is_key || depth == 1;
            break;
        default:
            break;
        }
        at++;
    }
    return length;
}
