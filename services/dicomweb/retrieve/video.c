#include "dicomweb/retrieve/video.h"

#include "dicom/reader.h"
#include "dicomweb/form/parts.h"
#include "dicomweb/form/url.h"

#include <string.h>

#define OCTETS "application/octet-stream"

typedef struct {
    http_request_t *request;
    const stored_t *stored;
    const dataset_t *dataset;
    const uint8_t *value; /* the items, the offset table first */
    size_t length;
} stream_t;

bool video_is(const stored_t *stored)
{
    return strncmp(stored->syntax->media_type, "video/", 6) == 0;
}

void video_refuse_frames(http_request_t *request)
{
    http_respond_error(
        request, 406,
        "these frames are a video, which is sent whole only: as .../bulkdata/7FE00010");
}

/* Goes to the next fragment behind the offset table; *position begins at 0. */
static bool next_fragment(const stream_t *stream, size_t *position, const uint8_t **out_fragment,
                          size_t *out_length)
{
    if (*position == 0 &&
        !dicom_fragment_next(stream->value, stream->length, position, out_fragment, out_length))
        return false;
    return dicom_fragment_next(stream->value, stream->length, position, out_fragment, out_length);
}

static uint64_t stream_length(const stream_t *stream)
{
    const uint8_t *fragment;
    size_t position = 0, length;
    uint64_t total = 0;
    while (next_fragment(stream, &position, &fragment, &length))
        total += length;
    return total;
}

static bool send_stream(const stream_t *stream, uint64_t first, uint64_t left)
{
    const uint8_t *fragment;
    size_t position = 0, length;
    while (left > 0 && next_fragment(stream, &position, &fragment, &length)) {
        if (first >= length) {
            first -= length;
            continue;
        }
        uint64_t part = length - first < left ? length - first : left;
        bytes_t bytes = {.fd = stream->stored->fd,
                         .offset = stream->stored->location.dataset_offset +
                                   (uint64_t)(fragment - stream->dataset->bytes),
                         .length = length};
        if (!bytes_send(stream->request, &bytes, first, part))
            return false;
        left -= part;
        first = 0;
    }
    return left == 0;
}

static void send_single(const stream_t *stream, const offer_t *offer)
{
    AUTO_BUFFER type = {0};
    uint64_t first = 0, length = stream_length(stream);
    buffer_printf(&type, "%s; transfer-syntax=%s", offer->media_type, offer->transfer_syntax);
    if (!parts_begin_range(stream->request, buffer_text(&type), &first, &length))
        return;
    if (send_stream(stream, first, length))
        http_end(stream->request);
    else
        http_abort(stream->request);
}

static void send_multipart(const stream_t *stream, dicomweb_t *dicomweb, const char *path,
                           const offer_t *offer)
{
    AUTO_BUFFER url = {0};
    AUTO_BUFFER type = {0};
    AUTO_BUFFER head = {0};
    AUTO_BUFFER end = {0};
    const location_t *where = &stream->stored->location;
    uint64_t length = stream_length(stream);
    url_append_request_base(&url, dicomweb->config->public_url, stream->request);
    url_append_target(&url, where->study, where->series, where->instance);
    buffer_printf(&url, "/bulkdata/%s", path);
    parts_append_type(&type, dicomweb, offer->media_type);
    parts_append_head(&head, dicomweb, true, offer->media_type, offer->transfer_syntax,
                      buffer_text(&url));
    parts_append_end(&end, dicomweb);
    http_begin(stream->request, 200, buffer_text(&type),
               (int64_t)(head.length + length + end.length));
    if (http_write(stream->request, head.data, head.length) && send_stream(stream, 0, length) &&
        http_write(stream->request, end.data, end.length))
        http_end(stream->request);
    else
        http_abort(stream->request);
}

void video_answer(dicomweb_t *dicomweb, http_request_t *request, const stored_t *stored,
                  const dataset_t *dataset, const uint8_t *value, size_t length, const char *path,
                  const http_accept_t *accept)
{
    const stream_t stream = {request, stored, dataset, value, length};
    const char *media = stored->syntax->media_type, *syntax = stored->location.transfer_syntax;
    const offer_t offers[] = {{media, syntax, false}, /* first, so that a link plays in a browser */
                              {OCTETS, syntax, false},
                              {media, syntax, true},
                              {OCTETS, syntax, true}};
    int choice = negotiate(accept, offers, sizeof offers / sizeof *offers);
    if (choice < 0)
        negotiate_refuse(request, "the video");
    else if (offers[choice].multipart)
        send_multipart(&stream, dicomweb, path, &offers[choice]);
    else
        send_single(&stream, &offers[choice]);
}
