/* WADO-RS: what a BulkDataURI of /metadata names.                               PS3.18 10.4.1.1.5 */
#include "dicom/json.h"
#include "dicom/reader.h"
#include "dicom/words.h"
#include "dicomweb/retrieve/frames.h"
#include "dicomweb/handlers.h"
#include "dicomweb/form/parts.h"
#include "dicomweb/instance/stored.h"
#include "dicomweb/form/url.h"
#include "dicomweb/retrieve/video.h"

#include <string.h>
#include <strings.h>

#define OCTETS "application/octet-stream"

/* One value, found. */
typedef struct {
    bytes_t bytes;
    const uint8_t *in_dataset; /* where it begins */
    const char *media_type;    /* of the content, when it is a document; else OCTETS */
    bool encapsulated;
} value_t;

/* Documents whose type may be told to a browser (PS3.3 C.24.2, PS3.18 table 8.7.3-4). */
static const char *const document_types[] = {"application/pdf", "model/stl", "model/obj",
                                             "model/mtl", "text/xml"};

/* PS3.3 C.24.2: (0042,0011) is of the type that (0042,0012) names. */
static const char *document_type(const stored_t *stored, const dataset_t *dataset, const char *path)
{
    const uint8_t *value;
    size_t length;
    uint16_t vr;
    bool encapsulated;
    if (strcmp(path, "00420011") != 0 ||
        dicom_bulk_find(dataset->bytes, dataset->length, stored->location.transfer_syntax,
                        "00420012", &value, &length, &vr, &encapsulated) != STATUS_OK)
        return OCTETS;
    while (length > 0 && (value[length - 1] == ' ' || value[length - 1] == 0))
        length--;
    for (size_t i = 0; i < sizeof document_types / sizeof *document_types; i++)
        if (strlen(document_types[i]) == length &&
            strncasecmp(document_types[i], (const char *)value, length) == 0)
            return document_types[i];
    return OCTETS;
}

/* Of a big endian value; of Pixel Data its description tells, and its VR only when that is missing. */
static unsigned word_of(const stored_t *stored, const dataset_t *dataset, const char *path,
                        uint16_t vr)
{
    const uint8_t *bits;
    size_t length;
    uint16_t bits_vr;
    bool encapsulated;
    if (strcasecmp(path, "7FE00010") != 0 ||
        dicom_bulk_find(dataset->bytes, dataset->length, stored->location.transfer_syntax,
                        "00280100", &bits, &length, &bits_vr, &encapsulated) != STATUS_OK ||
        length < 2)
        return dicom_word_of_vr(vr);
    return dicom_word_of_pixels(vr, dicom_uint16(bits, true));
}

static status_t find(const stored_t *stored, const dataset_t *dataset, const char *path,
                     value_t *out_value)
{
    const uint8_t *bytes = NULL;
    size_t length = 0;
    uint16_t vr = 0;
    value_t value = {.media_type = OCTETS};
    TRY(dicom_bulk_find(dataset->bytes, dataset->length, stored->location.transfer_syntax, path,
                        &bytes, &length, &vr, &value.encapsulated));
    value.in_dataset = bytes;
    value.media_type = document_type(stored, dataset, path);
    value.bytes = (bytes_t){.fd = stored->fd, .length = length, .word = 1};
    if (stored->syntax->big_endian)
        value.bytes.word = word_of(stored, dataset, path, vr);
    if (dataset->is_inflated || value.bytes.word > 1)
        value.bytes.memory = bytes;
    else
        value.bytes.offset = stored->location.dataset_offset + (uint64_t)(bytes - dataset->bytes);
    *out_value = value;
    return STATUS_OK;
}

static void send_single(http_request_t *request, const value_t *value, const offer_t *offer)
{
    uint64_t first = 0, length = value->bytes.length;
    if (!parts_begin_range(request, offer->media_type, &first, &length))
        return;
    if (bytes_send(request, &value->bytes, first, length))
        http_end(request);
    else
        http_abort(request);
}

static void send_multipart(dicomweb_t *dicomweb, http_request_t *request, const target_t *target,
                           const char *path, const value_t *value, const offer_t *offer)
{
    AUTO_BUFFER url = {0};
    AUTO_BUFFER type = {0};
    AUTO_BUFFER head = {0};
    AUTO_BUFFER end = {0};
    url_append_request_base(&url, dicomweb->config->public_url, request);
    url_append_target(&url, target->study, target->series, target->instance);
    buffer_printf(&url, "/bulkdata/%s", path);
    parts_append_type(&type, dicomweb, offer->media_type);
    parts_append_head(&head, dicomweb, true, offer->media_type, offer->transfer_syntax,
                      buffer_text(&url));
    parts_append_end(&end, dicomweb);
    http_begin(request, 200, buffer_text(&type),
               (int64_t)(head.length + value->bytes.length + end.length));
    if (http_write(request, head.data, head.length) &&
        bytes_send(request, &value->bytes, 0, value->bytes.length) &&
        http_write(request, end.data, end.length))
        http_end(request);
    else
        http_abort(request);
}

static void answer(dicomweb_t *dicomweb, http_request_t *request, const target_t *target,
                   const char *path, const value_t *value, const http_accept_t *accept)
{
    /* Any type asked for: a single body, so that a link opens in a browser. */
    bool document = strcmp(value->media_type, OCTETS) != 0;
    const char *syntax = document ? NULL : DICOM_EXPLICIT_LITTLE;
    const offer_t offers[] = {{value->media_type, syntax, false},
                              {OCTETS, DICOM_EXPLICIT_LITTLE, false},
                              {value->media_type, syntax, true},
                              {OCTETS, DICOM_EXPLICIT_LITTLE, true}};
    int choice = negotiate(accept, offers, sizeof offers / sizeof *offers);
    if (choice < 0)
        negotiate_refuse(request, "the value");
    else if (offers[choice].multipart)
        send_multipart(dicomweb, request, target, path, value, &offers[choice]);
    else
        send_single(request, value, &offers[choice]);
}

static void answer_value(dicomweb_t *dicomweb, http_request_t *request, const target_t *target,
                         const stored_t *stored, const char *path, const http_accept_t *accept)
{
    dataset_t dataset = {0};
    value_t value = {0};
    status_t status = dataset_open(dicomweb, stored, &dataset);
    if (status == STATUS_OK)
        dataset_will_skip_pixels(&dataset, stored);
    if (status == STATUS_OK)
        status = find(stored, &dataset, path, &value);
    if (status != STATUS_OK)
        http_fail(request, status);
    else if (value.encapsulated && video_is(stored))
        video_answer(dicomweb, request, stored, &dataset, value.in_dataset,
                     (size_t)value.bytes.length, path, accept);
    else if (value.encapsulated)
        frames_answer(dicomweb, request, stored, &(frame_list_t){NULL, 0}, accept);
    else
        answer(dicomweb, request, target, path, &value, accept);
    dataset_close(&dataset);
}

void dicomweb_bulkdata(void *context, http_request_t *request)
{
    dicomweb_t *dicomweb = context;
    target_t target;
    http_accept_t accept;
    location_t location;
    stored_t stored;
    status_t status = target_read(request, &target);
    if (status == STATUS_OK)
        status = negotiate_read(request, &accept);
    if (status == STATUS_OK)
        status = locate_instance(dicomweb, &target, &location);
    if (status == STATUS_OK)
        status = stored_open(dicomweb, &location, &stored);
    if (status != STATUS_OK) {
        http_fail(request, status);
        return;
    }
    answer_value(dicomweb, request, &target, &stored, http_path_parameter(request, "path"),
                 &accept);
    stored_close(&stored);
}
