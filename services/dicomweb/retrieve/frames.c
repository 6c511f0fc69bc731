/* WADO-RS: frames as they are stored; native ones in little endian.  PS3.18 10.4.1.1.6, 8.7.3.3 */
#include "dicomweb/retrieve/frames.h"

#include "base/memory.h"
#include "dicom/words.h"
#include "dicomweb/retrieve/frame_cache.h"
#include "dicomweb/handlers.h"
#include "dicomweb/location/location_cache.h"
#include "dicomweb/form/parts.h"
#include "dicomweb/form/url.h"
#include "dicomweb/retrieve/video.h"

#include <stdlib.h>
#include <string.h>

#define OCTETS "application/octet-stream"

/* What one answer needs; of frames_answer(). */
typedef struct {
    dicomweb_t *dicomweb;
    http_request_t *request;
    const stored_t *stored;
    const frame_table_t *table;
    const uint8_t
        *memory;     /* the dataset, when the frames must be changed on their way; else NULL */
    const char *url; /* of the instance */
    offer_t offer;
} answer_t;

/* A native frame of single bits that does not begin at a byte (PS3.5 8.1.1). */
static bool is_bit_packed(const dicom_frames_t *frames)
{
    return !frames->encapsulated && frames->frame_bits % 8 != 0;
}

static uint64_t frame_length(const dicom_frames_t *frames, uint32_t index)
{
    if (!frames->encapsulated)
        return is_bit_packed(frames) ? (frames->frame_bits + 7) / 8 : frames->spans[index].length;
    uint64_t length = 0;
    for (uint32_t i = frames->frame_first[index]; i < frames->frame_first[index + 1]; i++)
        length += frames->spans[i].length;
    return length;
}

/* Of the native pixels, which are one value: the words of big endian ones go across frames. */
static bool send_pixels(const answer_t *answer, const dicom_span_t *span)
{
    const dicom_frames_t *frames = answer->table->frames;
    bytes_t bytes = {.fd = answer->stored->fd,
                     .offset = answer->stored->location.dataset_offset + frames->pixel_value_offset,
                     .length = frames->pixel_value_length,
                     .word = frames->word};
    if (answer->memory)
        bytes.memory = answer->memory + frames->pixel_value_offset;
    return bytes_send(answer->request, &bytes, span->offset - frames->pixel_value_offset,
                      span->length);
}

static bool send_fragment(const answer_t *answer, const dicom_span_t *span)
{
    bytes_t bytes = {.fd = answer->stored->fd,
                     .offset = answer->stored->location.dataset_offset + span->offset,
                     .length = span->length};
    return bytes_send(answer->request, &bytes, 0, span->length);
}

/* Bit k of pixel data is bit k % 8, from the lowest, of byte k / 8. */
static bool send_bits(const answer_t *answer, uint32_t index)
{
    const dicom_frames_t *frames = answer->table->frames;
    const dicom_span_t *span = &frames->spans[index];
    unsigned shift = (unsigned)((uint64_t)index * frames->frame_bits % 8);
    size_t length = (size_t)frame_length(frames, index);
    AUTO_FREE uint8_t *out = memory_allocate(length + 2); /* a span may have a byte more */
    dicom_words_turn(out, answer->memory + frames->pixel_value_offset, frames->pixel_value_length,
                     span->offset - frames->pixel_value_offset, (size_t)span->length, frames->word);
    for (size_t i = 0; i < length; i++)
        out[i] = (uint8_t)((out[i] | out[i + 1] << 8) >> shift);
    unsigned used = (unsigned)(frames->frame_bits % 8);
    out[length - 1] &= (uint8_t)((1u << used) - 1);
    return http_write(answer->request, out, length);
}

static bool send_frame(const answer_t *answer, uint32_t index)
{
    const dicom_frames_t *frames = answer->table->frames;
    if (is_bit_packed(frames))
        return send_bits(answer, index);
    if (!frames->encapsulated)
        return send_pixels(answer, &frames->spans[index]);
    for (uint32_t i = frames->frame_first[index]; i < frames->frame_first[index + 1]; i++)
        if (!send_fragment(answer, &frames->spans[i]))
            return false;
    return true;
}

static void append_head(const answer_t *answer, uint32_t index, bool is_first, buffer_t *out)
{
    AUTO_BUFFER url = {0};
    buffer_printf(&url, "%s/frames/%u", answer->url, index + 1);
    parts_append_head(out, answer->dicomweb, is_first, answer->offer.media_type,
                      answer->offer.transfer_syntax, buffer_text(&url));
}

static uint32_t frame_at(const frame_list_t *list, size_t i)
{
    return list->count > 0 ? list->numbers[i] - 1 : (uint32_t)i;
}

static size_t frame_count(const answer_t *answer, const frame_list_t *list)
{
    return list->count > 0 ? list->count : answer->table->frames->frame_count;
}

static void send_single(const answer_t *answer, const frame_list_t *list)
{
    AUTO_BUFFER type = {0};
    buffer_printf(&type, "%s; transfer-syntax=%s", answer->offer.media_type,
                  answer->offer.transfer_syntax);
    uint32_t index = frame_at(list, 0);
    http_begin(answer->request, 200, buffer_text(&type),
               (int64_t)frame_length(answer->table->frames, index));
    if (send_frame(answer, index))
        http_end(answer->request);
    else
        http_abort(answer->request);
}

static int64_t multipart_length(const answer_t *answer, const frame_list_t *list)
{
    AUTO_BUFFER scratch = {0};
    parts_append_end(&scratch, answer->dicomweb);
    uint64_t total = scratch.length;
    for (size_t i = 0; i < frame_count(answer, list); i++) {
        buffer_clear(&scratch);
        append_head(answer, frame_at(list, i), i == 0, &scratch);
        total += scratch.length + frame_length(answer->table->frames, frame_at(list, i));
    }
    return (int64_t)total;
}

static bool send_parts(const answer_t *answer, const frame_list_t *list)
{
    AUTO_BUFFER head = {0};
    for (size_t i = 0; i < frame_count(answer, list); i++) {
        buffer_clear(&head);
        append_head(answer, frame_at(list, i), i == 0, &head);
        if (!http_write(answer->request, head.data, head.length) ||
            !send_frame(answer, frame_at(list, i)))
            return false;
    }
    buffer_clear(&head);
    parts_append_end(&head, answer->dicomweb);
    return http_write(answer->request, head.data, head.length);
}

static void send_multipart(const answer_t *answer, const frame_list_t *list)
{
    AUTO_BUFFER type = {0};
    parts_append_type(&type, answer->dicomweb, answer->offer.media_type);
    http_begin(answer->request, 200, buffer_text(&type), multipart_length(answer, list));
    if (send_parts(answer, list))
        http_end(answer->request);
    else
        http_abort(answer->request);
}

static status_t check_numbers(const frame_list_t *list, const dicom_frames_t *frames)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->numbers[i] > frames->frame_count)
            return fail(STATUS_NOT_FOUND, "frame %u of an instance with %u", list->numbers[i],
                        frames->frame_count);
    return STATUS_OK;
}

/*
 * Native pixels leave in little endian whatever they are stored in, so their syntax is Explicit VR
 * Little Endian, and asking for the stored one gets the same bytes. Compressed ones are offered under
 * their own media type, and as octets to who takes any syntax.
 */
static int choose(const answer_t *answer, const frame_list_t *list, const http_accept_t *accept,
                  offer_t out_offers[4])
{
    const char *stored = answer->stored->location.transfer_syntax;
    bool compressed = answer->table->frames->encapsulated;
    const char *media = compressed ? answer->stored->syntax->media_type : OCTETS;
    const char *syntax = compressed ? stored : DICOM_EXPLICIT_LITTLE;
    out_offers[0] = (offer_t){media, syntax, true};
    out_offers[1] = (offer_t){OCTETS, stored, true};
    out_offers[2] = (offer_t){media, syntax, false};
    out_offers[3] = (offer_t){OCTETS, stored, false};
    int choice = negotiate(accept, out_offers, frame_count(answer, list) == 1 ? 4 : 2);
    if (choice >= 0 && !compressed)
        out_offers[choice].transfer_syntax = DICOM_EXPLICIT_LITTLE;
    return choice;
}

static void answer_table(answer_t *answer, const frame_list_t *list, const http_accept_t *accept)
{
    offer_t offers[4];
    status_t status = check_numbers(list, answer->table->frames);
    if (status != STATUS_OK) {
        http_fail(answer->request, status);
        return;
    }
    int choice = choose(answer, list, accept, offers);
    if (choice < 0) {
        negotiate_refuse(answer->request, "the frame");
        return;
    }
    answer->offer = offers[choice];
    dataset_t dataset = {0};
    if (answer->stored->syntax->deflated || answer->table->frames->word > 1 ||
        is_bit_packed(answer->table->frames)) {
        status = dataset_open(answer->dicomweb, answer->stored, &dataset);
        if (status != STATUS_OK) {
            http_fail(answer->request, status);
            return;
        }
        answer->memory = dataset.bytes;
    }
    if (offers[choice].multipart)
        send_multipart(answer, list);
    else
        send_single(answer, list);
    if (dataset.bytes)
        dataset_close(&dataset);
}

void frames_answer(dicomweb_t *dicomweb, http_request_t *request, const stored_t *stored,
                   const frame_list_t *list, const http_accept_t *accept)
{
    if (video_is(stored)) {
        video_refuse_frames(request);
        return;
    }
    frame_table_t *table = NULL;
    status_t status = frame_cache_get(dicomweb, stored, &table);
    if (status != STATUS_OK) {
        /* Pixel data that does not fit its description has no frames: nothing the client sent. */
        http_fail(request, status == STATUS_INVALID ? STATUS_NOT_FOUND : status);
        return;
    }
    AUTO_BUFFER url = {0};
    url_append_request_base(&url, dicomweb->config->public_url, request);
    url_append_target(&url, stored->location.study, stored->location.series,
                      stored->location.instance);
    answer_t answer = {.dicomweb = dicomweb,
                       .request = request,
                       .stored = stored,
                       .table = table,
                       .url = buffer_text(&url)};
    answer_table(&answer, list, accept);
    frame_cache_release(dicomweb, &table);
}

static void answer_list(dicomweb_t *dicomweb, http_request_t *request, const target_t *target,
                        const frame_list_t *list, const http_accept_t *accept)
{
    location_t location;
    stored_t stored;
    status_t status = locate_instance_cached(dicomweb, target, &location);
    if (status == STATUS_OK)
        status = stored_open(dicomweb, &location, &stored);
    if (status != STATUS_OK) {
        http_fail(request, status);
        return;
    }
    frames_answer(dicomweb, request, &stored, list, accept);
    stored_close(&stored);
}

void dicomweb_frames(void *context, http_request_t *request)
{
    target_t target;
    http_accept_t accept;
    frame_list_t list = {0};
    status_t status = target_read(request, &target);
    if (status == STATUS_OK)
        status = negotiate_read(request, &accept);
    if (status == STATUS_OK)
        status = frame_list_parse(http_path_parameter(request, "frames"), &list);
    if (status != STATUS_OK)
        http_fail(request, status);
    else
        answer_list(context, request, &target, &list, &accept);
    free(list.numbers);
}
