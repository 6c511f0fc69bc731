#include "dicom/recode.h"

#include "base/memory.h"
#include "dicom/choice.h"
#include "dicom/reader.h"
#include "dicom/words.h"

#include <stdlib.h>
#include <string.h>

#define TAG_ITEM           DICOM_TAG(0xFFFE, 0xE000)
#define TAG_ITEM_END       DICOM_TAG(0xFFFE, 0xE00D)
#define TAG_SEQUENCE_END   DICOM_TAG(0xFFFE, 0xE0DD)
#define TAG_PADDING        DICOM_TAG(0xFFFC, 0xFFFC)
#define TAG_BITS_ALLOCATED DICOM_TAG(0x0028, 0x0100)
#define TAG_PIXEL_DATA     DICOM_TAG(0x7FE0, 0x0010)
#define UNDEFINED          0xFFFFFFFFu

enum { OPEN_MAX = 2 * DICOM_NESTING_MAX + 2, SHORT_LENGTH_MAX = 0xFFFE };

/* A sequence or item that is being written. */
typedef struct {
    bool undefined_length;
    size_t length_at; /* defined: where in bytes its length stands */
    uint64_t begin;   /* of its content in all that is written */
} container_t;

typedef struct {
    dicom_reader_t reader;
    dicom_choices_t choices;
    dicom_recoded_t out;
    size_t value_capacity;
    uint32_t bits_allocated; /* at top level; 0: not seen */
    bool pixels_cut;
    unsigned depth;
    container_t open[OPEN_MAX];
} recoder_t;

bool dicom_recode_takes(const char *transfer_syntax_uid)
{
    static const char *const uids[] = {DICOM_IMPLICIT_LITTLE, DICOM_EXPLICIT_BIG,
                                       DICOM_DEFLATED_LITTLE};
    for (size_t i = 0; i < sizeof uids / sizeof *uids; i++)
        if (strcmp(uids[i], transfer_syntax_uid) == 0)
            return true;
    return false;
}

/* ---- writing -------------------------------------------------------------------------------- */

static void put_uint16(recoder_t *recoder, uint32_t value)
{
    uint16_t two = (uint16_t)value;
    buffer_append(&recoder->out.bytes, &two, sizeof two);
    recoder->out.length += sizeof two;
}

static void put_uint32(recoder_t *recoder, uint32_t value)
{
    buffer_append(&recoder->out.bytes, &value, sizeof value);
    recoder->out.length += sizeof value;
}

static void put_tag(recoder_t *recoder, uint32_t tag)
{
    put_uint16(recoder, tag >> 16);
    put_uint16(recoder, tag);
}

static void put_header(recoder_t *recoder, uint32_t tag, uint16_t vr, uint32_t length)
{
    put_tag(recoder, tag);
    put_uint16(recoder, __builtin_bswap16(vr)); /* its first letter comes first */
    if (!dicom_vr_is_long(vr)) {
        put_uint16(recoder, length);
        return;
    }
    put_uint16(recoder, 0);
    put_uint32(recoder, length);
}

static void put_copy(recoder_t *recoder, const dicom_token_t *token, unsigned word)
{
    buffer_t *bytes = &recoder->out.bytes;
    buffer_reserve(bytes, token->length);
    if (token->length)
        dicom_words_turn(bytes->data + bytes->length, token->value, token->length, 0, token->length,
                         word);
    bytes->length += token->length;
}

static void put_reference(recoder_t *recoder, const dicom_token_t *token, unsigned word)
{
    dicom_recoded_t *out = &recoder->out;
    if (out->value_count == recoder->value_capacity) {
        recoder->value_capacity = recoder->value_capacity ? 2 * recoder->value_capacity : 8;
        out->values = memory_resize(out->values, recoder->value_capacity * sizeof *out->values);
    }
    out->values[out->value_count++] = (dicom_recoded_value_t){
        .after = out->bytes.length,
        .offset = token->value_offset,
        .length = token->length,
        .word = word,
    };
}

/* ---- sequences and items -------------------------------------------------------------------- */

/* Behind the header: a length that is to be known at the end stands last in it. */
static void container_begin(recoder_t *recoder, bool undefined_length)
{
    recoder->open[recoder->depth++] =
        (container_t){.undefined_length = undefined_length,
                      .length_at = recoder->out.bytes.length - sizeof(uint32_t),
                      .begin = recoder->out.length};
}

static status_t container_end(recoder_t *recoder, uint32_t delimiter)
{
    const container_t *container = &recoder->open[--recoder->depth];
    if (container->undefined_length) {
        put_tag(recoder, delimiter);
        put_uint32(recoder, 0);
        return STATUS_OK;
    }
    uint64_t length = recoder->out.length - container->begin;
    if (length >= UNDEFINED)
        return fail(STATUS_TOO_LARGE, "a sequence or item of %llu bytes",
                    (unsigned long long)length);
    uint32_t written = (uint32_t)length;
    memcpy(recoder->out.bytes.data + container->length_at, &written, sizeof written);
    return STATUS_OK;
}

/* ---- elements ------------------------------------------------------------------------------- */

static bool is_number(uint16_t vr)
{
    return dicom_word_of_vr(vr) > 1 && vr >> 8 != 'O';
}

/*
 * What makes a length even (PS3.5 6.2): a space, or zero for UIDs and bytes; -1: nothing, since the
 * odd byte of numbers, padded, would be one more number.
 */
static int padding_of(uint16_t vr, size_t length)
{
    if (length % 2 == 0 || is_number(vr))
        return -1;
    bool zero = vr >> 8 == 'O' || vr == DICOM_VR('U', 'I') || vr == DICOM_VR('U', 'N');
    return zero ? 0 : ' ';
}

static unsigned word_of(const recoder_t *recoder, const dicom_token_t *token, uint16_t vr)
{
    if (!token->big_endian)
        return 1;
    if (token->depth == 0 && token->tag == TAG_PIXEL_DATA)
        return dicom_word_of_pixels(vr, recoder->bits_allocated);
    return dicom_word_of_vr(vr);
}

static bool is_pixel_data(const dicom_token_t *token)
{
    return token->depth == 0 &&
           (token->tag == TAG_PIXEL_DATA || token->tag == 0x7FE00008 || token->tag == 0x7FE00009);
}

static void note(recoder_t *recoder, const dicom_token_t *token)
{
    dicom_choices_note(&recoder->choices, token);
    if (token->depth == 0 && token->tag == TAG_BITS_ALLOCATED && token->length >= 2)
        recoder->bits_allocated = dicom_uint16(token->value, token->big_endian);
}

static status_t check_element(recoder_t *recoder, const dicom_token_t *token)
{
    if (token->kind == DICOM_TOKEN_ENCAPSULATED)
        return fail(STATUS_UNSUPPORTED, "pixel data in fragments at byte %zu of a native dataset",
                    token->offset);
    if (token->cut && !is_pixel_data(token))
        return fail(STATUS_INVALID, "the dataset ends inside an element at byte %zu",
                    token->offset);
    recoder->pixels_cut = token->cut;
    return STATUS_OK;
}

static status_t put_element(recoder_t *recoder, const dicom_token_t *token)
{
    TRY(check_element(recoder, token));
    uint16_t vr = dicom_choices_vr(&recoder->choices, &recoder->reader, token);
    unsigned word = word_of(recoder, token, vr);
    int padding = padding_of(vr, token->length);
    size_t length = token->length + (padding >= 0);
    if (!dicom_vr_is_known(vr) || (!dicom_vr_is_long(vr) && length > SHORT_LENGTH_MAX))
        vr = DICOM_VR('U', 'N');
    put_header(recoder, token->tag, vr, (uint32_t)length);
    if (token->length > DICOM_RECODE_COPY_MAX)
        put_reference(recoder, token, word);
    else
        put_copy(recoder, token, word);
    if (padding >= 0)
        buffer_append_byte(&recoder->out.bytes, (uint8_t)padding);
    recoder->out.length += length;
    return STATUS_OK;
}

/* ---- the walk ------------------------------------------------------------------------------- */

static bool is_wanted(const dicom_token_t *token)
{
    uint32_t group = token->tag >> 16;
    if ((token->tag & 0xFFFF) == 0 || token->tag == TAG_PADDING)
        return false;
    return token->depth > 0 || group != 0x0002;
}

static status_t put_token(recoder_t *recoder, const dicom_token_t *token)
{
    switch (token->kind) {
    case DICOM_TOKEN_ELEMENT:
    case DICOM_TOKEN_ENCAPSULATED:
        note(recoder, token);
        return is_wanted(token) ? put_element(recoder, token) : STATUS_OK;
    case DICOM_TOKEN_SEQUENCE:
        if (!is_wanted(token))
            return dicom_reader_skip_sequence(&recoder->reader);
        put_header(recoder, token->tag, DICOM_VR('S', 'Q'), UNDEFINED);
        container_begin(recoder, token->undefined_length);
        break;
    case DICOM_TOKEN_ITEM:
        dicom_choices_begin(&recoder->choices, token->depth);
        put_tag(recoder, TAG_ITEM);
        put_uint32(recoder, UNDEFINED);
        container_begin(recoder, token->undefined_length);
        break;
    case DICOM_TOKEN_ITEM_END:
        return container_end(recoder, TAG_ITEM_END);
    case DICOM_TOKEN_SEQUENCE_END:
        return container_end(recoder, TAG_SEQUENCE_END);
    case DICOM_TOKEN_END:
        break;
    }
    return STATUS_OK;
}

static status_t walk(recoder_t *recoder)
{
    dicom_choices_begin(&recoder->choices, 0);
    for (;;) {
        dicom_token_t token;
        TRY(dicom_reader_next(&recoder->reader, &token));
        if (token.kind == DICOM_TOKEN_END)
            break;
        TRY(put_token(recoder, &token));
        if (recoder->out.bytes.length > DICOM_RECODE_BYTES_MAX)
            return fail(STATUS_TOO_LARGE, "the attributes take more than %d bytes",
                        DICOM_RECODE_BYTES_MAX);
    }
    if (recoder->reader.truncated && !recoder->pixels_cut)
        return fail(STATUS_INVALID, "the dataset ends inside an element");
    return STATUS_OK;
}

status_t dicom_recode(const uint8_t *dataset, size_t length, const char *transfer_syntax_uid,
                      dicom_recoded_t *out_recoded)
{
    recoder_t recoder; /* 9 KB, of which little is touched: not zeroed */
    recoder.out = (dicom_recoded_t){0};
    recoder.value_capacity = 0;
    recoder.bits_allocated = 0;
    recoder.pixels_cut = false;
    recoder.depth = 0;
    dicom_reader_init(&recoder.reader, dataset, length,
                      dicom_transfer_syntax_find(transfer_syntax_uid));
    status_t status = walk(&recoder);
    if (status == STATUS_OK)
        *out_recoded = recoder.out;
    else
        dicom_recoded_destroy(&recoder.out);
    return status;
}

void dicom_recoded_destroy(dicom_recoded_t *recoded)
{
    buffer_destroy(&recoded->bytes);
    free(recoded->values);
    *recoded = (dicom_recoded_t){0};
}
