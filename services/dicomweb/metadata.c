/* WADO-RS: metadata of a study, series or instance.                    PS3.18 10.4.1.1.2, F.2 */
#include "base/memory.h"
#include "dicomweb/gzip.h"
#include "dicomweb/handlers.h"
#include "dicomweb/header_json.h"
#include "dicomweb/metadata_cache.h"
#include "dicomweb/negotiate.h"
#include "dicomweb/parts.h"
#include "dicomweb/url.h"
#include "dicomweb/xml.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FORM_JSON, FORM_PLAIN_JSON, FORM_XML };

static const offer_t offers[] = {
    [FORM_JSON] = {"application/dicom+json", NULL, false},
    [FORM_PLAIN_JSON] = {"application/json", NULL, false},
    [FORM_XML] = {XML_MEDIA_TYPE, NULL, true},
};

enum {
    TAG_FORMAT = 1, /* part of the ETag: another number when the JSON of a record changes */
    TAG_BYTES = 12  /* of the fingerprint */
};

typedef struct {
    dicomweb_t *dicomweb;
    http_request_t *request;
    target_t target;
    const char *base; /* of our URLs */
    int form;         /* FORM_... */
    bool gzip;
} ask_t;

/*
 * From the records behind the answer, not from the index's version: that begins anew when the index is
 * rebuilt. Weak: the gzip form has the same tag.                                  RFC 9110 8.8.3
 */
static void format_tag(const ask_t *ask, const uint8_t fingerprint[SHA256_SIZE], char out_tag[64])
{
    char records[2 * TAG_BYTES + 1];
    crypto_hex(fingerprint, TAG_BYTES, records);
    snprintf(out_tag, 64, "\"%d.%d.%s.%08" PRIx32 "\"", TAG_FORMAT, ask->form, records,
             crypto_crc32(ask->base, strlen(ask->base)));
}

/* Puts the tag on the answer; true when the client has this version: then 304 is sent. */
static bool answer_unchanged(const ask_t *ask, const uint8_t fingerprint[SHA256_SIZE])
{
    char tag[64];
    format_tag(ask, fingerprint, tag);
    http_add_header(ask->request, "ETag", "W/%s", tag);
    http_add_header(ask->request, "Cache-Control", "private, no-cache");
    http_add_header(ask->request, "Vary", "Accept, Accept-Encoding");
    const char *known = http_header(ask->request, "If-None-Match");
    if (!known || !(strcmp(known, "*") == 0 || strstr(known, tag)))
        return false;
    http_respond(ask->request, 304, NULL, NULL, 0);
    return true;
}

/* ---- XML: a part for each instance ----------------------------------------------------------- */

static status_t append_xml_part(const ask_t *ask, const char *json, size_t length, buffer_t *out)
{
    parts_append_head(out, ask->dicomweb, out->length == 0, XML_MEDIA_TYPE, NULL, NULL);
    return xml_append_model(json, length, out);
}

static void send_xml(const ask_t *ask, buffer_t *parts)
{
    AUTO_BUFFER type = {0};
    parts_append_end(parts, ask->dicomweb);
    parts_append_type(&type, ask->dicomweb, XML_MEDIA_TYPE);
    http_respond(ask->request, 200, buffer_text(&type), parts->data, parts->length);
}

static void answer_xml(const ask_t *ask, metadata_entry_t *const *entries, size_t count)
{
    AUTO_BUFFER parts = {0};
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < entries[i]->count; j++) {
            const struct metadata_slice *slice = &entries[i]->slices[j];
            status_t status = append_xml_part(
                ask, (const char *)entries[i]->json.data + slice->offset, slice->length, &parts);
            if (status != STATUS_OK) {
                http_fail(ask->request, status);
                return;
            }
        }
    send_xml(ask, &parts);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void send_gzip(const ask_t *ask, const buffer_t *gzip)
{
    http_add_header(ask->request, "Content-Encoding", "gzip");
    http_respond(ask->request, 200, offers[ask->form].media_type, gzip->data, gzip->length);
}

static void send_json(const ask_t *ask, const buffer_t *json)
{
    if (!ask->gzip) {
        http_respond(ask->request, 200, offers[ask->form].media_type, json->data, json->length);
        return;
    }
    AUTO_BUFFER gzip = {0};
    gzip_append(json->data, json->length, &gzip);
    send_gzip(ask, &gzip);
}

static void answer_series_entry(const ask_t *ask, metadata_entry_t *entry)
{
    if (ask->form == FORM_XML)
        answer_xml(ask, &entry, 1);
    else if (ask->gzip)
        send_gzip(ask, metadata_cache_gzip(ask->dicomweb->metadata, entry));
    else
        http_respond(ask->request, 200, offers[ask->form].media_type, entry->json.data,
                     entry->json.length);
}

static status_t find_series(const ask_t *ask, metadata_entry_t **out_entry)
{
    metadata_cache_t *cache = ask->dicomweb->metadata;
    locations_t all = {0};
    metadata_entry_t *entry =
        metadata_cache_look_up(cache, ask->target.study, ask->target.series, ask->base);
    status_t status = locate_all(ask->dicomweb, &ask->target, entry ? entry->version : 0, &all);
    if (status == STATUS_OK && !(entry && all.is_known)) {
        metadata_cache_release(cache, &entry);
        status =
            metadata_cache_get(ask->dicomweb, all.items, all.count, all.version, ask->base, &entry);
    }
    if (status == STATUS_OK)
        *out_entry = entry;
    else
        metadata_cache_release(cache, &entry);
    locations_destroy(&all);
    return status;
}

static void answer_series(const ask_t *ask)
{
    metadata_entry_t *entry = NULL;
    status_t status = find_series(ask, &entry);
    if (status != STATUS_OK) {
        http_fail(ask->request, status);
        return;
    }
    if (!answer_unchanged(ask, entry->fingerprint))
        answer_series_entry(ask, entry);
    metadata_cache_release(ask->dicomweb->metadata, &entry);
}

/* The object of this very record in a series that is in memory anyway. */
static bool copy_from_series(const ask_t *ask, const location_t *location, buffer_t *out)
{
    metadata_cache_t *cache = ask->dicomweb->metadata;
    metadata_entry_t *entry =
        metadata_cache_look_up(cache, location->study, location->series, ask->base);
    bool found = false;
    for (size_t i = 0; entry && i < entry->count && !found; i++) {
        const struct metadata_slice *slice = &entry->slices[i];
        found = slice->record_offset == location->record_offset &&
                strcmp(slice->pack.text, location->pack.text) == 0;
        if (found)
            buffer_append(out, entry->json.data + slice->offset, slice->length);
    }
    metadata_cache_release(cache, &entry);
    return found;
}

static void answer_instance(const ask_t *ask)
{
    location_t location;
    uint8_t fingerprint[SHA256_SIZE];
    AUTO_BUFFER json = {0};
    status_t status = locate_instance(ask->dicomweb, &ask->target, &location);
    if (status == STATUS_OK) {
        metadata_fingerprint(&location, 1, fingerprint);
        if (answer_unchanged(ask, fingerprint))
            return;
    }
    buffer_append_byte(&json, '[');
    if (status == STATUS_OK && !copy_from_series(ask, &location, &json))
        status = header_json_append(ask->dicomweb, &location, ask->base, &json);
    if (status != STATUS_OK) {
        http_fail(ask->request, status);
        return;
    }
    if (ask->form == FORM_XML) {
        AUTO_BUFFER parts = {0};
        status = append_xml_part(ask, (const char *)json.data + 1, json.length - 1, &parts);
        if (status == STATUS_OK)
            send_xml(ask, &parts);
        else
            http_fail(ask->request, status);
        return;
    }
    buffer_append_byte(&json, ']');
    send_json(ask, &json);
}

/* ---- a study: its series one behind the other ------------------------------------------------ */

typedef struct {
    metadata_entry_t **entries;
    size_t count;
} series_list_t;

static void release_all(const ask_t *ask, series_list_t *list)
{
    for (size_t i = 0; i < list->count; i++)
        metadata_cache_release(ask->dicomweb->metadata, &list->entries[i]);
    free(list->entries);
}

static size_t run_length(const locations_t *all, size_t from)
{
    size_t end = from + 1;
    while (end < all->count && strcmp(all->items[end].series, all->items[from].series) == 0)
        end++;
    return end - from;
}

static status_t find_all_series(const ask_t *ask, const locations_t *all, series_list_t *list)
{
    list->entries = memory_allocate((all->count + 1) * sizeof *list->entries);
    for (size_t i = 0, length; i < all->count; i += length) {
        length = run_length(all, i);
        TRY(metadata_cache_get(ask->dicomweb, all->items + i, length, 0, ask->base,
                               &list->entries[list->count]));
        list->count++;
    }
    return STATUS_OK;
}

static void answer_entries(const ask_t *ask, const series_list_t *list)
{
    if (ask->form == FORM_XML) {
        answer_xml(ask, list->entries, list->count);
        return;
    }
    AUTO_BUFFER json = {0};
    buffer_append_byte(&json, '[');
    for (size_t i = 0; i < list->count; i++) {
        const buffer_t *one = &list->entries[i]->json;
        if (one->length <= 2) /* all of it was deleted meanwhile */
            continue;
        if (json.length > 1)
            buffer_append_byte(&json, ',');
        buffer_append(&json, one->data + 1, one->length - 2);
    }
    buffer_append_byte(&json, ']');
    send_json(ask, &json);
}

static void answer_study(const ask_t *ask)
{
    locations_t all = {0};
    series_list_t list = {0};
    status_t status = locate_all(ask->dicomweb, &ask->target, 0, &all);
    uint8_t fingerprint[SHA256_SIZE];
    if (status != STATUS_OK) {
        http_fail(ask->request, status);
        return;
    }
    metadata_fingerprint(all.items, all.count, fingerprint);
    if (!answer_unchanged(ask, fingerprint)) {
        status = find_all_series(ask, &all, &list);
        if (status == STATUS_OK)
            answer_entries(ask, &list);
        else
            http_fail(ask->request, status);
    }
    release_all(ask, &list);
    locations_destroy(&all);
}

void dicomweb_metadata(void *context, http_request_t *request)
{
    ask_t ask = {.dicomweb = context, .request = request};
    http_accept_t accept;
    AUTO_BUFFER base = {0};
    status_t status = target_read(request, &ask.target);
    if (status == STATUS_OK)
        status = negotiate_read(request, &accept);
    if (status != STATUS_OK) {
        http_fail(request, status);
        return;
    }
    ask.form = negotiate(&accept, offers, sizeof offers / sizeof *offers);
    if (ask.form < 0) {
        negotiate_refuse(request, "metadata");
        return;
    }
    url_append_request_base(&base, ask.dicomweb->config->public_url, request);
    ask.base = buffer_text(&base);
    ask.gzip = ask.form != FORM_XML && gzip_is_accepted(http_header(request, "Accept-Encoding"));
    if (ask.target.instance)
        answer_instance(&ask);
    else if (ask.target.series)
        answer_series(&ask);
    else
        answer_study(&ask);
}
