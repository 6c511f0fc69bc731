/* /api/system and /api/changes: state and change feed of the archive as JSON. */
#include "base/buffer.h"
#include "base/clock.h"
#include "base/text.h"
#include "dicomweb/handlers.h"
#include "dicomweb/location/index_access.h"
#include "http/query.h"

#include <inttypes.h>
#include <string.h>

#define JSON "application/json"

enum { CHANGES_DEFAULT = 100, CHANGES_MAX = 1000 };

static void append_count(buffer_t *out, const char *name, uint64_t count)
{
    buffer_printf(out, ",\"%s\":%" PRIu64, name, count);
}

static void append_text(buffer_t *out, const char *name, const char *text)
{
    buffer_printf(out, ",\"%s\":", name);
    buffer_append_json(out, text, strlen(text));
}

static void append_time(buffer_t *out, const char *name, uint64_t at_us)
{
    char text[28];
    clock_format((int64_t)at_us, text);
    append_text(out, name, text);
}

static void append_sources(buffer_t *out, const Index__Statistics *statistics)
{
    buffer_append_text(out, ",\"sources\":[");
    for (size_t i = 0; i < statistics->n_sources; i++) {
        const Index__SourceSeen *source = statistics->sources[i];
        buffer_append_text(out, i ? ",{\"source\":" : "{\"source\":");
        buffer_append_json(out, source->source, strlen(source->source));
        append_time(out, "last_received", source->last_received_us);
        append_count(out, "instances", source->instances);
        buffer_append_byte(out, '}');
    }
    buffer_append_byte(out, ']');
}

void dicomweb_api_system(void *context, http_request_t *request)
{
    Index__Statistics *statistics = NULL;
    status_t status = dicomweb_index_statistics(context, &statistics);
    if (status != STATUS_OK) {
        http_fail(request, status);
        return;
    }
    AUTO_BUFFER out = {0};
    buffer_append_text(&out, "{\"name\":\"zpacs\"");
    append_text(&out, "version", service_version());
    append_count(&out, "patients", statistics->patients);
    append_count(&out, "studies", statistics->studies);
    append_count(&out, "series", statistics->series);
    append_count(&out, "instances", statistics->instances);
    append_count(&out, "conflicts", statistics->conflicts);
    append_count(&out, "unreadable", statistics->unreadable);
    append_count(&out, "stored_bytes", statistics->stored_bytes);
    append_count(&out, "lag_bytes", statistics->lag_bytes);
    buffer_printf(&out, ",\"rebuilding\":%s", statistics->rebuilding ? "true" : "false");
    append_sources(&out, statistics);
    buffer_append_text(&out, "}\n");
    index__statistics__free_unpacked(statistics, NULL);
    http_respond(request, 200, JSON, out.data, out.length);
}

/* since, limit and epoch of the query; anything else is refused. */
static status_t read_changes_query(const http_query_t *query, Index__Changes *out)
{
    out->limit = CHANGES_DEFAULT;
    for (size_t i = 0; i < query->count; i++) {
        const http_query_term_t *term = &query->terms[i];
        uint64_t number = 0;
        if (strcmp(term->name, "epoch") == 0) {
            out->epoch = term->value;
            continue;
        }
        if (!text_to_uint64(term->value, &number))
            return fail(STATUS_INVALID, "%s is no number", term->name);
        if (strcmp(term->name, "since") == 0)
            out->since = number;
        else if (strcmp(term->name, "limit") == 0)
            out->limit = number < CHANGES_MAX ? (uint32_t)number : CHANGES_MAX;
        else
            return fail(STATUS_INVALID, "%s is not a parameter of changes", term->name);
    }
    return STATUS_OK;
}

static void append_change(buffer_t *out, const Index__Change *change)
{
    buffer_printf(out, "{\"sequence\":%" PRIu64, change->sequence);
    append_text(out, "kind", change->kind);
    append_text(out, "study", change->study_instance_uid);
    append_text(out, "series", change->series_instance_uid);
    append_text(out, "instance", change->sop_instance_uid);
    append_text(out, "source", change->source);
    append_time(out, "at", change->at_us);
    buffer_append_byte(out, '}');
}

static void answer_changes(http_request_t *request, const Index__ChangeList *list)
{
    AUTO_BUFFER out = {0};
    buffer_append_text(&out, "{\"epoch\":");
    buffer_append_json(&out, list->epoch, strlen(list->epoch));
    append_count(&out, "last", list->last);
    buffer_append_text(&out, ",\"changes\":[");
    for (size_t i = 0; i < list->n_changes; i++) {
        if (i)
            buffer_append_byte(&out, ',');
        append_change(&out, list->changes[i]);
    }
    buffer_append_text(&out, "]}\n");
    http_respond(request, 200, JSON, out.data, out.length);
}

static status_t ask_changes(dicomweb_t *dicomweb, const http_query_t *query,
                            Index__ChangeList **out_list)
{
    Index__Scope scope = INDEX__SCOPE__INIT;
    scope.kind = INDEX__SCOPE__KIND__ALL;
    Index__Changes what = INDEX__CHANGES__INIT;
    what.scope = &scope;
    TRY(read_changes_query(query, &what));
    index_client_t *client = NULL;
    TRY(dicomweb_index_take(dicomweb, DICOMWEB_INDEX_WAIT_MS, &client));
    status_t status = dicomweb_index_status(index_client_changes(client, &what, out_list));
    dicomweb_index_give(dicomweb, &client);
    return status;
}

void dicomweb_api_changes(void *context, http_request_t *request)
{
    http_query_t query = {0};
    Index__ChangeList *list = NULL;
    status_t status = http_query_parse(http_query(request), &query);
    if (status == STATUS_OK)
        status = ask_changes(context, &query, &list);
    if (status == STATUS_OK)
        answer_changes(request, list);
    else
        http_fail(request, status);
    if (list)
        index__change_list__free_unpacked(list, NULL);
    http_query_destroy(&query);
}
