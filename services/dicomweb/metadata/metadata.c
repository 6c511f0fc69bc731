/*
 * WADO-RS: metadata of a study, series or instance.                    PS3.18 10.4.1.1.2, F.2
 *
 *     dicomweb_metadata > answer > metadata_many (metadata_many.c) or answer_instance
 */
#include "dicomweb/handlers.h"
#include "dicomweb/metadata/metadata_writer.h"
#include "dicomweb/form/negotiate.h"
#include "dicomweb/form/url.h"
#include "dicomweb/form/xml.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const offer_t offers[METADATA_FORMS] = {
    [METADATA_JSON] = {"application/dicom+json", NULL, false},
    [METADATA_PLAIN_JSON] = {"application/json", NULL, false},
    [METADATA_XML] = {XML_MEDIA_TYPE, NULL, true},
};

enum {
    TAG_FORMAT = 1, /* part of the ETag: another number when the JSON of a record changes */
    TAG_BYTES = 12, /* of the fingerprint */
    TAG_SIZE = 64,
    ATTEMPTS = 3 /* while what was located is moved or deleted */
};

/* ---- validators ------------------------------------------------------------------------------ */

/* From the records behind the answer, not from the index's version: that begins anew when the index
 * is rebuilt. */
static void format_tag(const metadata_ask_t *ask, const uint8_t fingerprint[SHA256_SIZE],
                       char out_tag[TAG_SIZE])
{
    char records[2 * TAG_BYTES + 1];
    crypto_hex(fingerprint, TAG_BYTES, records);
    snprintf(out_tag, TAG_SIZE, "\"%d.%d.%s.%08" PRIx32 "\"", TAG_FORMAT, (int)ask->form, records,
             crypto_crc32(ask->base, strlen(ask->base)));
}

/*
 * Strong where the bytes are the same each time. The blocks of a gzip form are cut as its series are in memory,
 * and the parts of XML by a boundary of this process.                            RFC 9110 8.8.1
 */
void metadata_add_validators(const metadata_ask_t *ask, const uint8_t fingerprint[SHA256_SIZE])
{
    char tag[TAG_SIZE];
    format_tag(ask, fingerprint, tag);
    bool is_weak = ask->gzip || ask->form == METADATA_XML;
    http_add_header(ask->request, "ETag", "%s%s", is_weak ? "W/" : "", tag);
    http_add_header(ask->request, "Cache-Control", "private, no-cache");
    http_add_header(ask->request, "Vary", "Accept, Accept-Encoding");
}

bool metadata_answer_unchanged(const metadata_ask_t *ask, const uint8_t fingerprint[SHA256_SIZE])
{
    char tag[TAG_SIZE];
    format_tag(ask, fingerprint, tag);
    const char *known = http_header(ask->request, "If-None-Match"); /* weak comparison: 13.1.2 */
    if (!known || !(strcmp(known, "*") == 0 || strstr(known, tag)))
        return false;
    metadata_add_validators(ask, fingerprint);
    http_respond(ask->request, 304, NULL, NULL, 0);
    return true;
}

/* ---- one instance ---------------------------------------------------------------------------- */

static bool copy_from_half(const metadata_half_t *half, const location_t *location, buffer_t *json)
{
    for (size_t i = 0; i < half->count; i++) {
        const metadata_slice_t *slice = &half->slices[i];
        if (slice->record_offset != location->record_offset ||
            strcmp(slice->pack.text, location->pack.text) != 0)
            continue;
        buffer_append(json, half->json.data + slice->offset, slice->length);
        return true;
    }
    return false;
}

/* The object of this very record in a series that is in memory anyway. */
static bool copy_from_series(const metadata_ask_t *ask, const location_t *location, buffer_t *json)
{
    metadata_cache_t *cache = ask->dicomweb->metadata;
    metadata_entry_t *entry =
        metadata_cache_look_up(cache, location->study, location->series, ask->base, NULL);
    bool found = false;
    for (size_t i = 0; entry && i < METADATA_HALVES && !found; i++)
        found = copy_from_half(&entry->halves[i], location, json);
    metadata_cache_release(cache, &entry);
    return found;
}

static status_t read_object(const metadata_ask_t *ask, const location_t *location, buffer_t *json)
{
    metadata_build_t build;
    metadata_slice_t slices[METADATA_BATCH];
    size_t count = 0;
    metadata_build_begin(&build, ask->dicomweb, location, 1, ask->base);
    status_t status = metadata_build_next(&build, json, slices, &count);
    metadata_build_end(&build);
    return status;
}

static void send_object(const metadata_ask_t *ask, const buffer_t *json)
{
    metadata_slice_t slice = {.length = json->length};
    metadata_entry_t entry = {.halves = {{.json = *json, .slices = &slice, .count = 1}},
                              .count = 1};
    metadata_run_t run = {&entry, ask->gzip};
    metadata_writer_t writer;
    if (ask->gzip)
        gzip_piece_make(json->data, json->length, &entry.halves[0].gzip);
    metadata_write_begin(&writer, ask, metadata_length(ask, &run, 1));
    metadata_write_end(&writer, metadata_write_run(&writer, &run));
    gzip_piece_destroy(&entry.halves[0].gzip);
}

static status_t answer_instance(const metadata_ask_t *ask)
{
    location_t location;
    uint8_t fingerprint[SHA256_SIZE];
    AUTO_BUFFER json = {0};
    TRY(locate_instance(ask->dicomweb, &ask->target, &location));
    metadata_fingerprint(&location, 1, fingerprint);
    if (metadata_answer_unchanged(ask, fingerprint))
        return STATUS_OK;
    if (!copy_from_series(ask, &location, &json))
        TRY(read_object(ask, &location, &json));
    metadata_add_validators(ask, fingerprint);
    send_object(ask, &json);
    return STATUS_OK;
}

/* ---- any ------------------------------------------------------------------------------------- */

static void answer(const metadata_ask_t *ask)
{
    status_t status = STATUS_CONFLICT;
    for (int i = 0; i < ATTEMPTS && status == STATUS_CONFLICT; i++)
        status = ask->target.instance ? answer_instance(ask) : metadata_many(ask);
    if (status == STATUS_CONFLICT)
        status = fail(STATUS_UNAVAILABLE, "it is being moved; try again");
    if (status != STATUS_OK)
        http_fail(ask->request, status);
}

void dicomweb_metadata(void *context, http_request_t *request)
{
    metadata_ask_t ask = {.dicomweb = context, .request = request};
    http_accept_t accept;
    AUTO_BUFFER base = {0};
    status_t status = target_read(request, &ask.target);
    if (status == STATUS_OK)
        status = negotiate_read(request, &accept);
    if (status != STATUS_OK) {
        http_fail(request, status);
        return;
    }
    int form = negotiate(&accept, offers, METADATA_FORMS);
    if (form < 0) {
        negotiate_refuse(request, "metadata");
        return;
    }
    url_append_request_base(&base, ask.dicomweb->config->public_url, request);
    ask.base = buffer_text(&base);
    ask.form = (metadata_form_t)form;
    ask.gzip =
        ask.form != METADATA_XML && gzip_is_accepted(http_header(request, "Accept-Encoding"));
    answer(&ask);
}
