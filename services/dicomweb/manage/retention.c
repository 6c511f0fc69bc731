/* /api/studies/{study}/undelete, .../hold and /api/conflicts: what stays, and for how long. */
#include "base/buffer.h"
#include "base/clock.h"
#include "base/text.h"
#include "dicomweb/handlers.h"
#include "dicomweb/location/index_access.h"
#include "dicomweb/manage/json_depth.h"
#include "dicomweb/location/location_cache.h"
#include "http/query.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define JSON "application/json"

enum { BODY_MAX = 16 * 1024, BODY_DEPTH_MAX = 8 };

static Index__Scope everything = {.base = {.descriptor = &index__scope__descriptor},
                                  .kind = INDEX__SCOPE__KIND__ALL,
                                  .id = (char *)""};

/* ---- the request ------------------------------------------------------------------------------- */

/* The body: a JSON object of a few texts, or nothing. */
static status_t read_body(http_request_t *request, json_t **out_object)
{
    AUTO_BUFFER body = {0};
    uint8_t piece[4096];
    for (ssize_t got; (got = http_read(request, piece, sizeof piece)) != 0;) {
        if (got < 0)
            return fail(STATUS_INVALID, "the body broke off");
        buffer_append(&body, piece, (size_t)got);
        if (body.length > BODY_MAX)
            return fail(STATUS_TOO_LARGE, "a body of more than %d bytes", BODY_MAX);
    }
    if (!json_is_shallow(body.data, body.length, BODY_DEPTH_MAX))
        return fail(STATUS_INVALID, "the body is nested deeper than %d levels", BODY_DEPTH_MAX);
    *out_object =
        body.length ? json_loadb((const char *)body.data, body.length, JSON_REJECT_DUPLICATES, NULL)
                    : json_object();
    if (json_is_object(*out_object))
        return STATUS_OK;
    json_decref(*out_object);
    *out_object = NULL;
    return fail(STATUS_INVALID, "the body is no JSON object");
}

/* A member that is a text, or ""; borrowed from the object. */
static status_t read_text(const json_t *object, const char *name, char **out_text)
{
    const json_t *value = json_object_get(object, name);
    if (value && !json_is_string(value))
        return fail(STATUS_INVALID, "%s is no text", name);
    *out_text = (char *)(uintptr_t)(value ? json_string_value(value) : "");
    return STATUS_OK;
}

static status_t read_uid(const http_request_t *request, const char *name, char **out_uid)
{
    const char *uid = http_path_parameter(request, name);
    if (!uid || !uid_is_valid(uid))
        return fail(STATUS_INVALID, "the %s of the URL is not a UID", name);
    *out_uid = (char *)(uintptr_t)uid;
    return STATUS_OK;
}

static void answer(http_request_t *request, status_t status, buffer_t *body)
{
    if (status != STATUS_OK)
        http_fail(request, status);
    else if (body && body->length)
        http_respond(request, 200, JSON, body->data, body->length);
    else
        http_respond(request, 204, NULL, NULL, 0);
}

typedef status_t action_t(dicomweb_t *dicomweb, http_request_t *request, const json_t *body,
                          buffer_t *out);

/* What a body asks for is done and answered. */
static void act(dicomweb_t *dicomweb, http_request_t *request, action_t *action)
{
    AUTO_BUFFER out = {0};
    json_t *body = NULL;
    status_t status = read_body(request, &body);
    if (status == STATUS_OK)
        status = action(dicomweb, request, body, &out);
    json_decref(body);
    answer(request, status, &out);
}

static void append_text(buffer_t *out, const char *name, const char *text)
{
    buffer_printf(out, "\"%s\":", name);
    buffer_append_json(out, text, strlen(text));
}

static void append_time(buffer_t *out, const char *name, uint64_t at_us)
{
    char text[28];
    clock_format((int64_t)at_us, text);
    append_text(out, name, text);
}

/* ---- undelete ---------------------------------------------------------------------------------- */

static status_t undelete(dicomweb_t *dicomweb, http_request_t *request, const json_t *body,
                         buffer_t *out)
{
    Index__Undelete what = INDEX__UNDELETE__INIT;
    Index__Undeleted *reply = NULL;
    index_client_t *client = NULL;
    what.scope = &everything;
    what.user = (char *)"";
    TRY(read_uid(request, "study", &what.study_instance_uid));
    TRY(read_text(body, "series", &what.series_instance_uid));
    TRY(read_text(body, "instance", &what.sop_instance_uid));
    TRY(read_text(body, "reason", &what.reason));
    TRY(dicomweb_index_take(dicomweb, DICOMWEB_INDEX_WAIT_MS, &client));
    status_t status = dicomweb_index_status(index_client_undelete(client, &what, &reply));
    dicomweb_index_give(dicomweb, &client);
    TRY(status);
    buffer_printf(out, "{\"instances\":%" PRIu64 ",\"gone\":%" PRIu64 "}\n", reply->instances,
                  reply->gone);
    index__undeleted__free_unpacked(reply, NULL);
    location_cache_clear(dicomweb->locations);
    return STATUS_OK;
}

void dicomweb_api_undelete(void *context, http_request_t *request)
{
    act(context, request, undelete);
}

/* ---- hold -------------------------------------------------------------------------------------- */

static status_t get_hold(dicomweb_t *dicomweb, http_request_t *request, buffer_t *out)
{
    Index__GetHold query = INDEX__GET_HOLD__INIT;
    Index__HoldState *state = NULL;
    index_client_t *client = NULL;
    query.scope = &everything;
    TRY(read_uid(request, "study", &query.study_instance_uid));
    TRY(dicomweb_index_take(dicomweb, DICOMWEB_INDEX_WAIT_MS, &client));
    status_t status = dicomweb_index_status(index_client_get_hold(client, &query, &state));
    dicomweb_index_give(dicomweb, &client);
    TRY(status);
    buffer_printf(out, "{\"held\":%s", state->held ? "true" : "false");
    if (state->held) {
        buffer_append_byte(out, ',');
        append_text(out, "user", state->user);
        buffer_append_byte(out, ',');
        append_text(out, "reason", state->reason);
        buffer_append_byte(out, ',');
        append_time(out, "since", state->since_us);
    }
    buffer_append_text(out, "}\n");
    index__hold_state__free_unpacked(state, NULL);
    return STATUS_OK;
}

void dicomweb_api_get_hold(void *context, http_request_t *request)
{
    AUTO_BUFFER out = {0};
    status_t status = get_hold(context, request, &out);
    answer(request, status, &out);
}

static status_t put_hold(dicomweb_t *dicomweb, http_request_t *request, const json_t *body)
{
    Index__Hold what = INDEX__HOLD__INIT;
    index_client_t *client = NULL;
    what.scope = &everything;
    TRY(read_uid(request, "study", &what.study_instance_uid));
    TRY(read_text(body, "reason", &what.reason));
    TRY(dicomweb_index_take(dicomweb, DICOMWEB_INDEX_WAIT_MS, &client));
    status_t status = dicomweb_index_status(index_client_hold(client, &what));
    dicomweb_index_give(dicomweb, &client);
    return status;
}

void dicomweb_api_put_hold(void *context, http_request_t *request)
{
    json_t *body = NULL;
    status_t status = read_body(request, &body);
    if (status == STATUS_OK)
        status = put_hold(context, request, body);
    json_decref(body);
    answer(request, status, NULL);
}

static status_t delete_hold(dicomweb_t *dicomweb, http_request_t *request)
{
    Index__Release what = INDEX__RELEASE__INIT;
    index_client_t *client = NULL;
    what.scope = &everything;
    TRY(read_uid(request, "study", &what.study_instance_uid));
    TRY(dicomweb_index_take(dicomweb, DICOMWEB_INDEX_WAIT_MS, &client));
    status_t status = dicomweb_index_status(index_client_release(client, &what));
    dicomweb_index_give(dicomweb, &client);
    return status;
}

void dicomweb_api_delete_hold(void *context, http_request_t *request)
{
    status_t status = delete_hold(context, request);
    answer(request, status, NULL);
}

/* ---- conflicts --------------------------------------------------------------------------------- */

static void append_conflict(buffer_t *out, const Index__Conflict *conflict)
{
    buffer_append_byte(out, '{');
    append_text(out, "instance", conflict->sop_instance_uid);
    buffer_append_byte(out, ',');
    append_text(out, "study", conflict->study_instance_uid);
    buffer_append_byte(out, ',');
    append_text(out, "series", conflict->series_instance_uid);
    buffer_append_byte(out, ',');
    append_text(out, "source", conflict->source);
    buffer_append_byte(out, ',');
    append_time(out, "received", conflict->received_us);
    buffer_printf(out, ",\"record\":\"%s/%" PRIu64 "\"}", conflict->origin_pack,
                  conflict->origin_sequence);
}

/* A page; `after` of the query is the `next` of the page before. */
static status_t get_conflicts(dicomweb_t *dicomweb, const http_query_t *query, buffer_t *out)
{
    const char *after = "";
    Index__ConflictList *list = NULL;
    index_client_t *client = NULL;
    for (size_t i = 0; i < query->count; i++) {
        if (strcmp(query->terms[i].name, "after") != 0)
            return fail(STATUS_INVALID, "%s is not a parameter of conflicts", query->terms[i].name);
        after = query->terms[i].value;
    }
    TRY(dicomweb_index_take(dicomweb, DICOMWEB_INDEX_WAIT_MS, &client));
    status_t status = dicomweb_index_status(index_client_conflicts(client, 0, after, &list));
    dicomweb_index_give(dicomweb, &client);
    TRY(status);
    buffer_append_text(out, "{\"conflicts\":[");
    for (size_t i = 0; i < list->n_conflicts; i++) {
        if (i)
            buffer_append_byte(out, ',');
        append_conflict(out, list->conflicts[i]);
    }
    buffer_append_text(out, "],");
    append_text(out, "next", list->next);
    buffer_append_text(out, "}\n");
    index__conflict_list__free_unpacked(list, NULL);
    return STATUS_OK;
}

void dicomweb_api_conflicts(void *context, http_request_t *request)
{
    AUTO_BUFFER out = {0};
    http_query_t query = {0};
    status_t status = http_query_parse(http_query(request), &query);
    if (status == STATUS_OK)
        status = get_conflicts(context, &query, &out);
    answer(request, status, &out);
    http_query_destroy(&query);
}

static status_t read_outcome(const json_t *body, Index__Resolve__Outcome *out_outcome)
{
    static const char *const names[] = {
        [INDEX__RESOLVE__OUTCOME__KEEP] = "keep",
        [INDEX__RESOLVE__OUTCOME__REPLACE] = "replace",
        [INDEX__RESOLVE__OUTCOME__KEEP_BOTH] = "both",
    };
    char *name = NULL;
    TRY(read_text(body, "outcome", &name));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) {
            *out_outcome = (Index__Resolve__Outcome)i;
            return STATUS_OK;
        }
    return fail(STATUS_INVALID, "outcome is keep, replace or both");
}

/* "PACK/SEQUENCE", as the list names it. */
static status_t read_record(const json_t *body, char out_pack[ULID_LENGTH + 1],
                            Index__Resolve *what)
{
    char *text = NULL;
    TRY(read_text(body, "record", &text));
    const char *slash = strchr(text, '/');
    if (!*text)
        return STATUS_OK;
    if (!slash || slash - text != ULID_LENGTH || !text_to_uint64(slash + 1, &what->origin_sequence))
        return fail(STATUS_INVALID, "record is not PACK/SEQUENCE");
    memcpy(out_pack, text, ULID_LENGTH);
    out_pack[ULID_LENGTH] = 0;
    what->origin_pack = out_pack;
    return STATUS_OK;
}

static status_t resolve(dicomweb_t *dicomweb, http_request_t *request, const json_t *body,
                        buffer_t *out)
{
    char pack[ULID_LENGTH + 1];
    Index__Resolve what = INDEX__RESOLVE__INIT;
    Index__Resolved *reply = NULL;
    index_client_t *client = NULL;
    what.scope = &everything;
    TRY(read_uid(request, "instance", &what.sop_instance_uid));
    TRY(read_outcome(body, &what.outcome));
    TRY(read_record(body, pack, &what));
    TRY(read_text(body, "reason", &what.reason));
    TRY(dicomweb_index_take(dicomweb, DICOMWEB_INDEX_WAIT_MS, &client));
    status_t status = dicomweb_index_status(index_client_resolve(client, &what, &reply));
    dicomweb_index_give(dicomweb, &client);
    TRY(status);
    buffer_printf(out, "{\"dead\":%" PRIu64 ",", reply->dead);
    append_text(out, "made", reply->made_sop_instance_uid);
    buffer_append_text(out, "}\n");
    index__resolved__free_unpacked(reply, NULL);
    location_cache_clear(dicomweb->locations);
    return STATUS_OK;
}

void dicomweb_api_resolve(void *context, http_request_t *request)
{
    act(context, request, resolve);
}
