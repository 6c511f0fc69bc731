#include "http/query.h"

#include "base/memory.h"
#include "base/text.h"
#include "http/route.h"

#include <stdlib.h>
#include <string.h>

static status_t decode_part(const char *text, size_t length, char **out_text)
{
    char *decoded = memory_allocate(length + 1);
    size_t decoded_length = 0;
    status_t status = http_percent_decode(text, length, decoded, &decoded_length);
    if (status == STATUS_OK && !text_is_utf8(decoded, decoded_length))
        status = fail(STATUS_INVALID, "the query is not UTF-8");
    if (status != STATUS_OK) {
        free(decoded);
        return status;
    }
    *out_text = decoded;
    return STATUS_OK;
}

static status_t parse_term(const char *text, size_t length, http_query_t *query)
{
    if (query->count == HTTP_QUERY_TERMS_MAX)
        return fail(STATUS_TOO_LARGE, "the query has over %d terms", HTTP_QUERY_TERMS_MAX);
    const char *equals = memchr(text, '=', length);
    size_t name_length = equals ? (size_t)(equals - text) : length;
    size_t value_length = equals ? length - name_length - 1 : 0;
    http_query_term_t term = {0};
    TRY(decode_part(text, name_length, &term.name));
    status_t status = decode_part(equals ? equals + 1 : "", value_length, &term.value);
    if (status != STATUS_OK) {
        free(term.name);
        return status;
    }
    query->terms[query->count++] = term;
    return STATUS_OK;
}

status_t http_query_parse(const char *query, http_query_t *out_query)
{
    http_query_t parsed = {0};
    if (strlen(query) > HTTP_URI_MAX)
        return fail(STATUS_TOO_LARGE, "the query has over %d bytes", HTTP_URI_MAX);
    parsed.terms = memory_allocate(HTTP_QUERY_TERMS_MAX * sizeof *parsed.terms);
    for (const char *at = query; *at;) {
        size_t length = strcspn(at, "&");
        status_t status = length > 0 ? parse_term(at, length, &parsed) : STATUS_OK;
        if (status != STATUS_OK) {
            http_query_destroy(&parsed);
            return status;
        }
        at += length;
        at += *at == '&';
    }
    *out_query = parsed;
    return STATUS_OK;
}

void http_query_destroy(http_query_t *query)
{
    for (size_t i = 0; i < query->count; i++) {
        free(query->terms[i].name);
        free(query->terms[i].value);
    }
    free(query->terms);
    *query = (http_query_t){0};
}
