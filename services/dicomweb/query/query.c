/* QIDO-RS: studies, series and instances that match.                                PS3.18 10.6 */
#include "base/memory.h"
#include "dicomweb/handlers.h"
#include "dicomweb/location/index_access.h"
#include "dicomweb/location/location.h"
#include "dicomweb/form/negotiate.h"
#include "dicomweb/form/parts.h"
#include "dicomweb/query/query_parse.h"
#include "dicomweb/form/url.h"
#include "dicomweb/form/xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TAG_STUDY = 0x0020000D,
    TAG_SERIES = 0x0020000E,
    FOUND_BUFFER_MAX = 8 * 1024 * 1024, /* an answer up to here is sent whole, over it streamed */
    WARNING_MAX = 512                   /* bytes of one Warning header */
};

enum { FORM_JSON, FORM_PLAIN_JSON, FORM_XML };

static const offer_t offers[] = {
    [FORM_JSON] = {"application/dicom+json", NULL, false},
    [FORM_PLAIN_JSON] = {"application/json", NULL, false},
    [FORM_XML] = {XML_MEDIA_TYPE, NULL, true},
};

typedef struct {
    Index__Term terms[QUERY_TERMS_MAX + 2];
    Index__Term *pointers[QUERY_TERMS_MAX + 2];
    size_t count;
} terms_t;

/* One search, from its parameters to its last page. */
typedef struct {
    dicomweb_t *dicomweb;
    http_request_t *request;
    int form;
    const char *base;
    terms_t terms;
    Index__Scope scope;
    Index__Find find;   /* points to them */
    uint64_t remaining; /* answers still allowed */
    bool is_capped;     /* allowed by our limit, not by the client's */
    buffer_t out;       /* not yet sent */
    size_t found;
    bool is_streaming;
    bool is_cut;       /* there are more than our limit allows */
    bool has_warnings; /* of the index: said once */
} search_t;

static void warn(search_t *search, const char *text)
{
    if (search->is_streaming)
        return;
    char line[WARNING_MAX];
    size_t length = 0;
    for (; *text && length < sizeof line - 1; text++)
        line[length++] = *text == '"' || *text == '\\' || (unsigned char)*text < 0x20 ? ' ' : *text;
    line[length] = '\0';
    http_add_header(search->request, "Warning", "299 zpacs \"%s\"", line); /* PS3.18 8.3.4 */
}

/* ---- matches into bytes ----------------------------------------------------------------------- */

static void append_object(search_t *search, const Index__Match *match, buffer_t *out)
{
    const char *json = (const char *)match->json.data;
    size_t length = match->json.len;
    size_t position = qido_url_position(json, length);
    buffer_append(out, json, position);
    bool is_last = position < length && json[position] == '}';
    if (is_last && position > 0 && json[position - 1] != '{')
        buffer_append_byte(out, ',');
    buffer_append_text(out, "\"00081190\":{\"vr\":\"UR\",\"Value\":[\"");
    buffer_append_text(out, search->base);
    url_append_target(out, match->study_instance_uid, match->series_instance_uid,
                      match->sop_instance_uid);
    buffer_append_text(out, is_last ? "\"]}" : "\"]},");
    buffer_append(out, json + position, length - position);
}

static status_t append_match(search_t *search, const Index__Match *match)
{
    if (search->form != FORM_XML) {
        buffer_append_byte(&search->out, search->found == 0 ? '[' : ',');
        append_object(search, match, &search->out);
        return STATUS_OK;
    }
    AUTO_BUFFER json = {0};
    append_object(search, match, &json);
    parts_append_head(&search->out, search->dicomweb, search->found == 0, XML_MEDIA_TYPE, NULL,
                      NULL);
    return xml_append_model((const char *)json.data, json.length, &search->out);
}

static void append_end(search_t *search)
{
    if (search->form == FORM_XML)
        parts_append_end(&search->out, search->dicomweb);
    else
        buffer_append_byte(&search->out, ']');
}

static const char *content_type(const search_t *search, buffer_t *scratch)
{
    if (search->form != FORM_XML)
        return offers[search->form].media_type;
    parts_append_type(scratch, search->dicomweb, XML_MEDIA_TYPE);
    return buffer_text(scratch);
}

/* ---- pages ------------------------------------------------------------------------------------ */

static status_t append_page(search_t *search, const Index__Found *page, size_t *out_taken)
{
    if (!search->has_warnings)
        for (size_t i = 0; i < page->n_warnings; i++)
            warn(search, page->warnings[i]);
    search->has_warnings = true;
    size_t count =
        page->n_matches < search->remaining ? page->n_matches : (size_t)search->remaining;
    for (size_t i = 0; i < count; i++) {
        TRY(append_match(search, page->matches[i]));
        search->found++;
    }
    search->remaining -= count;
    *out_taken = count;
    return STATUS_OK;
}

/* Too much to be held: from here on the answer leaves as it comes. */
static bool stream(search_t *search)
{
    if (!search->is_streaming) {
        AUTO_BUFFER type = {0};
        if (search->is_capped)
            warn(search, "the answer may be incomplete: use limit and offset");
        http_begin(search->request, 200, content_type(search, &type), -1);
        search->is_streaming = true;
    }
    bool sent = http_write(search->request, search->out.data, search->out.length);
    buffer_clear(&search->out);
    return sent;
}

static status_t next_page(search_t *search, bool *out_more)
{
    index_client_t *client = NULL;
    Index__Found *page = NULL;
    size_t taken = 0;
    search->find.limit = search->remaining < UINT32_MAX ? (uint32_t)search->remaining : UINT32_MAX;
    TRY(dicomweb_index_take(search->dicomweb, DICOMWEB_INDEX_WAIT_MS, &client));
    status_t status = dicomweb_index_status(index_client_find(client, &search->find, &page));
    dicomweb_index_give(search->dicomweb, &client);
    TRY(status);
    status = append_page(search, page, &taken);
    search->find.offset += (uint32_t)taken;
    *out_more = page->more && taken > 0;
    index__found__free_unpacked(page, NULL);
    return status;
}

static status_t run(search_t *search)
{
    bool more = true;
    while (more && search->remaining > 0) {
        TRY(next_page(search, &more));
        if (search->out.length > FOUND_BUFFER_MAX && !stream(search))
            return fail(STATUS_UNAVAILABLE, "the client is gone");
    }
    search->is_cut = more && search->is_capped;
    return STATUS_OK;
}

static void finish(search_t *search, status_t status)
{
    AUTO_BUFFER type = {0};
    if (search->is_streaming) {
        append_end(search);
        if (status != STATUS_OK)
            http_fail(search->request, status);
        else if (stream(search))
            http_end(search->request);
        else
            http_abort(search->request);
        return;
    }
    if (status != STATUS_OK) {
        http_fail(search->request, status);
        return;
    }
    if (search->is_cut)
        warn(search, "there are more answers than this server gives at once: use limit and offset");
    /* PS3.18 10.6.3.1 has 204 or an empty list. JSON clients parse "[]"; XML has no empty list. */
    if (search->found == 0 && search->form == FORM_XML) {
        http_respond(search->request, 204, NULL, NULL, 0);
        return;
    }
    if (search->found == 0)
        buffer_append_byte(&search->out, '[');
    append_end(search);
    http_respond(search->request, 200, content_type(search, &type), search->out.data,
                 search->out.length);
}

/* ---- from parameters to the question ---------------------------------------------------------- */

static void add_term(terms_t *terms, uint32_t tag, const char *value)
{
    Index__Term *term = &terms->terms[terms->count];
    index__term__init(term);
    term->tag = tag;
    term->value = (char *)(uintptr_t)value;
    terms->pointers[terms->count++] = term;
}

static void set_limits(search_t *search, const qido_query_t *query)
{
    uint64_t most = (uint64_t)search->dicomweb->config->query_limit_max;
    uint64_t wanted = (uint64_t)search->dicomweb->config->query_limit;
    if (query->has_limit)
        wanted = query->limit;
    search->remaining = wanted < most ? wanted : most;
    search->is_capped = !query->has_limit || wanted > most;
}

static void ask(search_t *search, Index__Level level, const target_t *target, qido_query_t *query)
{
    if (target->study)
        add_term(&search->terms, TAG_STUDY, target->study);
    if (target->series)
        add_term(&search->terms, TAG_SERIES, target->series);
    for (size_t i = 0; i < query->term_count; i++)
        add_term(&search->terms, query->terms[i].tag, query->terms[i].value);
    index__scope__init(&search->scope);
    search->scope.kind = INDEX__SCOPE__KIND__ALL;
    index__find__init(&search->find);
    search->find.level = level;
    search->find.scope = &search->scope;
    search->find.terms = search->terms.pointers;
    search->find.n_terms = search->terms.count;
    search->find.offset = (uint32_t)query->offset;
    search->find.fuzzy = query->fuzzy;
    search->find.include_tags = query->fields;
    search->find.n_include_tags = query->field_count;
    search->find.include_all = query->include_all;
    if (query->warn_empty_values)
        warn(search, "emptyvaluematching is not supported: an empty value matches all");
    set_limits(search, query);
    finish(search, run(search));
}

static void search_level(dicomweb_t *dicomweb, http_request_t *request, Index__Level level)
{
    search_t search = {.dicomweb = dicomweb, .request = request};
    target_t target;
    http_accept_t accept;
    http_query_t parameters = {0};
    qido_query_t query;
    status_t status = target_read(request, &target);
    if (status == STATUS_OK)
        status = negotiate_read(request, &accept);
    if (status == STATUS_OK)
        status = http_query_parse(http_query(request), &parameters);
    if (status == STATUS_OK)
        status = qido_query_parse(&parameters, &query);
    if (status == STATUS_OK)
        search.form = negotiate(&accept, offers, sizeof offers / sizeof *offers);
    if (status != STATUS_OK) {
        http_fail(request, status);
    } else if (search.form < 0) {
        negotiate_refuse(request, "the answer");
    } else {
        AUTO_BUFFER base = {0};
        url_append_request_base(&base, dicomweb->config->public_url, request);
        search.base = buffer_text(&base);
        ask(&search, level, &target, &query);
    }
    buffer_destroy(&search.out);
    http_query_destroy(&parameters);
}

void dicomweb_query_studies(void *context, http_request_t *request)
{
    search_level(context, request, INDEX__LEVEL__STUDY);
}

void dicomweb_query_series(void *context, http_request_t *request)
{
    search_level(context, request, INDEX__LEVEL__SERIES);
}

void dicomweb_query_instances(void *context, http_request_t *request)
{
    search_level(context, request, INDEX__LEVEL__INSTANCE);
}
