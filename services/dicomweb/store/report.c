#include "dicomweb/store/store.h"

#include "dicomweb/form/url.h"

#include <string.h>

/* ,"TTTTTTTT":{"vr":"..","Value":[ -- the caller goes on */
static void open_value(buffer_t *out, bool first, const char *tag, const char *vr)
{
    buffer_printf(out, "%s\"%s\":{\"vr\":\"%s\",\"Value\":[", first ? "" : ",", tag, vr);
}

static void append_uid(buffer_t *out, bool first, const char *tag, const char *uid)
{
    open_value(out, first, tag, "UI");
    buffer_append_json(out, uid, strlen(uid));
    buffer_append_text(out, "]}");
}

static void append_number(buffer_t *out, bool first, const char *tag, unsigned number)
{
    open_value(out, first, tag, "US");
    buffer_printf(out, "%u]}", number);
}

static void append_url(buffer_t *out, bool first, buffer_t *url)
{
    open_value(out, first, "00081190", "UR");
    buffer_append_json(out, buffer_text(url), url->length);
    buffer_append_text(out, "]}");
}

static bool is_stored(const store_result_t *result)
{
    return result->failure == STORE_REASON_NONE;
}

static bool is_failed(const store_result_t *result)
{
    return !is_stored(result) && result->sop_instance_uid[0];
}

/* Failed, and the part did not say which instance it was. */
static bool is_nameless(const store_result_t *result)
{
    return !is_stored(result) && !result->sop_instance_uid[0];
}

static void append_stored(buffer_t *out, const store_result_t *result, const buffer_t *base)
{
    AUTO_BUFFER url = {0};
    buffer_append(&url, base->data, base->length);
    url_append_target(&url, result->study_instance_uid, result->series_instance_uid,
                      result->sop_instance_uid);
    append_uid(out, true, "00081150", result->sop_class_uid);
    append_uid(out, false, "00081155", result->sop_instance_uid);
    append_url(out, false, &url);
    if (result->conflict || !result->confirmed)
        append_number(out, false, "00081196",
                      result->conflict ? STORE_WARNING_CONFLICT : STORE_WARNING_NOT_INDEXED);
}

static void append_failed(buffer_t *out, const store_result_t *result, const buffer_t *base)
{
    (void)base;
    append_uid(out, true, "00081150", result->sop_class_uid);
    append_uid(out, false, "00081155", result->sop_instance_uid);
    append_number(out, false, "00081197", result->failure);
}

static void append_nameless(buffer_t *out, const store_result_t *result, const buffer_t *base)
{
    (void)base;
    append_number(out, true, "00081197", result->failure);
}

/* One sequence of the message; left out when nothing belongs into it.      PS3.18 table I.2-1 */
static const struct {
    const char *tag;
    bool (*takes)(const store_result_t *result);
    void (*append)(buffer_t *out, const store_result_t *result, const buffer_t *base);
} sequences[] = {
    {"00081198", is_failed, append_failed},     /* Failed SOP Sequence */
    {"00081199", is_stored, append_stored},     /* Referenced SOP Sequence */
    {"0008119A", is_nameless, append_nameless}, /* Other Failures Sequence */
};

static void append_sequence(const store_t *store, size_t row, const buffer_t *base, buffer_t *out)
{
    bool open = false;
    for (size_t i = 0; i < store->count; i++) {
        const store_result_t *result = &store->results[i];
        if (!sequences[row].takes(result))
            continue;
        if (!open)
            open_value(out, false, sequences[row].tag, "SQ");
        buffer_append_text(out, open ? ",{" : "{");
        sequences[row].append(out, result, base);
        buffer_append_byte(out, '}');
        open = true;
    }
    if (open)
        buffer_append_text(out, "]}");
}

/* The study all stored instances belong to; NULL when there is none, or more than one. */
static const char *common_study(const store_t *store)
{
    const char *study = NULL;
    for (size_t i = 0; i < store->count; i++) {
        if (!is_stored(&store->results[i]))
            continue;
        if (study && strcmp(study, store->results[i].study_instance_uid) != 0)
            return NULL;
        study = store->results[i].study_instance_uid;
    }
    return study;
}

void store_report(const store_t *store, buffer_t *out_json)
{
    AUTO_BUFFER base = {0};
    url_append_request_base(&base, store->dicomweb->config->public_url, store->request);
    buffer_append_byte(out_json, '{');
    const char *study = common_study(store);
    if (study) {
        AUTO_BUFFER url = {0};
        buffer_append(&url, base.data, base.length);
        url_append_target(&url, study, NULL, NULL);
        append_url(out_json, true, &url);
    } else {
        buffer_append_text(out_json, "\"00081190\":{\"vr\":\"UR\"}");
    }
    for (size_t row = 0; row < sizeof sequences / sizeof *sequences; row++)
        append_sequence(store, row, &base, out_json);
    buffer_append_byte(out_json, '}');
}
