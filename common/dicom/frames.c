#include "dicom/frames.h"

#include "base/memory.h"
#include "dicom/reader.h"
#include "dicom/words.h"

#include <stdlib.h>
#include <string.h>

#define TAG_PIXEL_DATA DICOM_TAG(0x7FE0, 0x0010)

/* What the dataset says about its pixels; numbers are 0 when missing. */
typedef struct {
    uint32_t rows, columns, samples_per_pixel, bits_allocated, frame_count;
    bool subsampled; /* YBR_FULL_422: two samples stand for three (PS3.3 C.7.6.3.1.2) */
    dicom_token_t pixels, offsets, lengths; /* value NULL when missing */
} image_t;

/* ---- attributes ----------------------------------------------------------------------------- */

static uint32_t number_from_us(const dicom_token_t *token)
{
    return token->vr == DICOM_VR('U', 'S') && token->length >= 2
               ? dicom_uint16(token->value, token->big_endian)
               : 0;
}

/* Number of Frames, an IS; over the limit it stays over the limit. */
static uint32_t number_from_is(const dicom_token_t *token)
{
    uint32_t number = 0;
    for (size_t i = 0; i < token->length && number <= DICOM_FRAMES_MAX; i++) {
        if (token->value[i] >= '0' && token->value[i] <= '9')
            number = number * 10 + token->value[i] - '0';
        else if (number)
            break;
    }
    return number;
}

static void take_attribute(image_t *image, const dicom_token_t *token)
{
    switch (token->tag) {
    case DICOM_TAG(0x0028, 0x0002):
        image->samples_per_pixel = number_from_us(token);
        break;
    case DICOM_TAG(0x0028, 0x0004):
        image->subsampled = token->length >= 12 && !memcmp(token->value, "YBR_FULL_422", 12);
        break;
    case DICOM_TAG(0x0028, 0x0008):
        image->frame_count = number_from_is(token);
        break;
    case DICOM_TAG(0x0028, 0x0010):
        image->rows = number_from_us(token);
        break;
    case DICOM_TAG(0x0028, 0x0011):
        image->columns = number_from_us(token);
        break;
    case DICOM_TAG(0x0028, 0x0100):
        image->bits_allocated = number_from_us(token);
        break;
    case DICOM_TAG(0x7FE0, 0x0001):
        image->offsets = *token;
        break;
    case DICOM_TAG(0x7FE0, 0x0002):
        image->lengths = *token;
        break;
    case DICOM_TAG(0x7FE0, 0x0008):
    case DICOM_TAG(0x7FE0, 0x0009):
    case TAG_PIXEL_DATA:
        image->pixels = *token;
        break;
    }
}

static status_t read_image(const uint8_t *dataset, size_t length,
                           const dicom_transfer_syntax_t *syntax, image_t *out_image)
{
    image_t image = {0};
    dicom_reader_t reader;
    dicom_reader_init(&reader, dataset, length, syntax);
    for (;;) {
        dicom_token_t token;
        TRY(dicom_reader_next(&reader, &token));
        if (token.kind == DICOM_TOKEN_END)
            break;
        if (token.kind == DICOM_TOKEN_SEQUENCE)
            TRY(dicom_reader_skip_sequence(&reader));
        else if (token.depth == 0 && token.kind <= DICOM_TOKEN_ENCAPSULATED)
            take_attribute(&image, &token);
    }
    if (!image.pixels.value || (!image.pixels.length && !image.pixels.cut))
        return fail(STATUS_NOT_FOUND, "the instance has no pixel data");
    if (!image.frame_count)
        image.frame_count = 1;
    if (image.frame_count > DICOM_FRAMES_MAX)
        return fail(STATUS_TOO_LARGE, "more than %d frames", DICOM_FRAMES_MAX);
    *out_image = image;
    return STATUS_OK;
}

/* ---- native --------------------------------------------------------------------------------- */

static unsigned word_of(const image_t *image)
{
    return image->pixels.tag == TAG_PIXEL_DATA
               ? dicom_word_of_pixels(image->pixels.vr, image->bits_allocated)
               : dicom_word_of_vr(image->pixels.vr);
}

static status_t locate_native(const image_t *image, dicom_frames_t *frames)
{
    if (!image->rows || !image->columns || !image->samples_per_pixel || !image->bits_allocated)
        return fail(STATUS_INVALID,
                    "Rows, Columns, Samples per Pixel or Bits Allocated is missing or not a US");
    /* four factors below 2^16: the product and the bits of all frames stay below 2^64 with a look
     */
    uint64_t samples =
        image->subsampled && image->samples_per_pixel == 3 ? 2 : image->samples_per_pixel;
    uint64_t bits = (uint64_t)image->rows * image->columns, total;
    if (__builtin_mul_overflow(bits, samples * image->bits_allocated, &bits) ||
        __builtin_mul_overflow(bits, (uint64_t)image->frame_count, &total))
        return fail(STATUS_INVALID, "the size of a frame is absurd");
    uint64_t available = image->pixels.length;
    if (!image->pixels.cut && total / 8 > available)
        return fail(STATUS_INVALID, "%u frames of %llu bits do not fit into %zu bytes",
                    image->frame_count, (unsigned long long)bits, image->pixels.length);
    frames->frame_bits = bits;
    frames->pixel_value_offset = image->pixels.value_offset;
    frames->pixel_value_length = available;
    if (image->pixels.big_endian)
        frames->word = word_of(image);
    frames->span_count = image->frame_count;
    frames->spans = memory_allocate(image->frame_count * sizeof *frames->spans);
    for (uint64_t i = 0; i < image->frame_count; i++) {
        uint64_t first = i * bits / 8, end = (i * bits + bits + 7) / 8;
        first = first < available ? first : available;
        end = end < available ? end : available;
        frames->spans[i] = (dicom_span_t){image->pixels.value_offset + first, end - first};
    }
    return STATUS_OK;
}

/* ---- encapsulated --------------------------------------------------------------------------- */

/* All fragments but the offset table, which comes first.                                PS3.5 A.4
 */
static status_t collect_fragments(const dicom_token_t *pixels, dicom_frames_t *frames,
                                  const uint8_t **out_table, size_t *out_table_length)
{
    const uint8_t *fragment;
    size_t position = 0, length, capacity = 0;
    *out_table = NULL;
    *out_table_length = 0;
    if (dicom_fragment_next(pixels->value, pixels->length, &position, &fragment, &length)) {
        *out_table = fragment;
        *out_table_length = length;
    }
    while (dicom_fragment_next(pixels->value, pixels->length, &position, &fragment, &length)) {
        if (frames->span_count == DICOM_FRAGMENTS_MAX)
            return fail(STATUS_TOO_LARGE, "more than %d fragments", DICOM_FRAGMENTS_MAX);
        if (frames->span_count == capacity) {
            capacity = capacity ? 2 * capacity : 16;
            frames->spans = memory_resize(frames->spans, capacity * sizeof *frames->spans);
        }
        frames->spans[frames->span_count++] =
            (dicom_span_t){pixels->value_offset + (uint64_t)(fragment - pixels->value), length};
    }
    return STATUS_OK;
}

/*
 * Frame beginnings by a table of offsets, counted from the first item behind the Basic Offset
 * Table. false when it is not of this pixel data: such tables are seen in the field.
 */
static bool group_by_offsets(dicom_frames_t *frames, const uint8_t *table, size_t table_length,
                             size_t width)
{
    if (!table || table_length != width * frames->frame_count || !frames->span_count)
        return false;
    uint64_t base = frames->spans[0].offset - 8;
    uint32_t span = 0;
    for (uint32_t i = 0; i < frames->frame_count; i++) {
        uint64_t offset = width == 8 ? dicom_uint64(table + width * i, false)
                                     : dicom_uint32(table + width * i, false);
        while (span < frames->span_count && frames->spans[span].offset - 8 - base < offset)
            span++;
        if (span == frames->span_count || frames->spans[span].offset - 8 - base != offset ||
            (i && span == frames->frame_first[i - 1]) || (i == 0 && span != 0))
            return false;
        frames->frame_first[i] = span;
    }
    return true;
}

/* Extended Offset Table Lengths: the bytes of a frame without the padding.       PS3.3 C.7.6.3.1.8
 */
static void trim_to_lengths(dicom_frames_t *frames, const dicom_token_t *lengths)
{
    if (!lengths->value || lengths->length != 8 * (size_t)frames->frame_count ||
        frames->span_count != frames->frame_count)
        return;
    for (uint32_t i = 0; i < frames->frame_count; i++) {
        uint64_t length = dicom_uint64(lengths->value + 8 * (size_t)i, false);
        if (length && length < frames->spans[i].length)
            frames->spans[i].length = length;
    }
}

/* SOI of JPEG and JPEG-LS, SOC of JPEG 2000, the signature box of a JP2 file. */
static bool begins_codestream(const uint8_t *bytes, uint64_t length)
{
    static const uint8_t jp2[] = {0, 0, 0, 12, 'j', 'P', ' ', ' '};
    return length >= 8 && ((bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF) ||
                           (bytes[0] == 0xFF && bytes[1] == 0x4F && bytes[2] == 0xFF) ||
                           memcmp(bytes, jp2, sizeof jp2) == 0);
}

/* EOI and EOC are both FF D9; padding may follow. */
static bool ends_codestream(const uint8_t *bytes, uint64_t length)
{
    while (length > 2 && bytes[length - 1] == 0)
        length--;
    while (length > 2 && bytes[length - 1] == 0xFF)
        length--;
    return length >= 2 && bytes[length - 2] == 0xFF && bytes[length - 1] == 0xD9;
}

/* Frames begin behind an end marker, or else with a start marker. */
static bool group_by_markers(dicom_frames_t *frames, const uint8_t *dataset, bool by_end)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < frames->span_count; i++) {
        const dicom_span_t *span = &frames->spans[i];
        bool begins = begins_codestream(dataset + span->offset, span->length);
        if (by_end && i > 0) {
            const dicom_span_t *before = span - 1;
            begins = begins && ends_codestream(dataset + before->offset, before->length);
        }
        if (i > 0 && !begins)
            continue;
        if (found == frames->frame_count)
            return false;
        frames->frame_first[found++] = i;
    }
    return found == frames->frame_count;
}

static bool group_one_each(dicom_frames_t *frames)
{
    if (frames->span_count != frames->frame_count)
        return false;
    for (uint32_t i = 0; i < frames->frame_count; i++)
        frames->frame_first[i] = i;
    return true;
}

static status_t locate_encapsulated(const uint8_t *dataset, const image_t *image,
                                    dicom_frames_t *frames)
{
    const uint8_t *table;
    size_t table_length;
    TRY(collect_fragments(&image->pixels, frames, &table, &table_length));
    frames->frame_first = memory_allocate((frames->frame_count + 1) * sizeof *frames->frame_first);
    frames->frame_first[frames->frame_count] = frames->span_count;
    if (!frames->span_count)
        return fail(STATUS_INVALID, "the pixel data has no fragment");
    if (group_by_offsets(frames, image->offsets.value, image->offsets.length, 8)) {
        trim_to_lengths(frames, &image->lengths);
        return STATUS_OK;
    }
    if (frames->frame_count == 1) {
        frames->frame_first[0] = 0;
        return STATUS_OK;
    }
    if (group_by_offsets(frames, table, table_length, 4) || group_one_each(frames) ||
        group_by_markers(frames, dataset, true) || group_by_markers(frames, dataset, false))
        return STATUS_OK;
    return fail(STATUS_INVALID, "%u fragments cannot be told apart as %u frames",
                frames->span_count, frames->frame_count);
}

status_t dicom_frames_locate(const uint8_t *dataset, size_t length, const char *transfer_syntax_uid,
                             dicom_frames_t **out_frames)
{
    const dicom_transfer_syntax_t *syntax = dicom_transfer_syntax_find(transfer_syntax_uid);
    image_t image;
    TRY(read_image(dataset, length, syntax, &image));
    dicom_frames_t *frames = memory_allocate(sizeof *frames);
    frames->frame_count = image.frame_count;
    frames->encapsulated = image.pixels.kind == DICOM_TOKEN_ENCAPSULATED;
    frames->word = 1;
    frames->bits_allocated = image.bits_allocated;
    frames->rows = image.rows;
    frames->columns = image.columns;
    frames->samples_per_pixel = image.samples_per_pixel;
    status_t status = frames->encapsulated ? locate_encapsulated(dataset, &image, frames)
                                           : locate_native(&image, frames);
    if (status == STATUS_OK)
        *out_frames = frames;
    else
        dicom_frames_destroy(&frames);
    return status;
}

void dicom_frames_destroy(dicom_frames_t **frames)
{
    if (!*frames)
        return;
    free((*frames)->spans);
    free((*frames)->frame_first);
    free(*frames);
    *frames = NULL;
}
