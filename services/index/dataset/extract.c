#include "index/dataset/extract.h"

#include "base/text.h"
#include "dicom/charset.h"
#include "dicom/file.h"
#include "dicom/json.h"
#include "dicom/reader.h"
#include "index/dataset/fold.h"
#include "index/dataset/values.h"

#include <stdlib.h>
#include <string.h>

#define TAG_CHARACTER_SET DICOM_TAG(0x0008, 0x0005)
#define TAG_PIXELS        DICOM_TAG(0x7FE0, 0x0000)

void extract_clear(extract_t *extract)
{
    for (size_t i = 0; i < LEVEL_COUNT; i++)
        buffer_clear(&extract->fragments[i]);
    buffer_clear(&extract->texts);
    memset(extract->values, 0, sizeof extract->values);
}

void extract_destroy(extract_t *extract)
{
    for (size_t i = 0; i < LEVEL_COUNT; i++)
        buffer_destroy(&extract->fragments[i]);
    buffer_destroy(&extract->texts);
}

const char *extract_text(const extract_t *extract, size_t attribute)
{
    const extract_value_t *value = &extract->values[attribute];
    return value->known ? (const char *)extract->texts.data + value->text : "";
}

const char *extract_text_of(const extract_t *extract, uint32_t tag)
{
    return extract_text(extract, (size_t)(attribute_find(tag) - attributes));
}

/* ---- JSON fragments ---------------------------------------------------------------------------- */

/* Length of a member of an object: up to the comma or brace that ends it. */
static size_t member_length(const char *json, size_t left)
{
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < left; i++) {
        char c = json[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (depth && (c == '}' || c == ']')) {
            depth--;
        } else if (depth == 0 && (c == ',' || c == '}')) {
            return i;
        }
    }
    return left;
}

static void member_keep(extract_t *extract, const char *member, size_t length)
{
    if (length < 12 || length > EXTRACT_MEMBER_MAX)
        return;
    const attribute_t *attribute = attribute_find((uint32_t)strtoul(member + 1, NULL, 16));
    if (!attribute || attribute->computed || attribute->within)
        return;
    buffer_t *fragment = &extract->fragments[attribute->level];
    if (fragment->length + length >= EXTRACT_FRAGMENT_MAX)
        return;
    buffer_append(fragment, member, length);
    buffer_append_byte(fragment, '\n');
}

static status_t fragments_extract(const uint8_t *dataset, size_t length, const char *syntax,
                                  extract_t *out)
{
    dicom_json_options_t options = {.text_inline_max = EXTRACT_TEXT_MAX,
                                    .stop_before_pixel_data = true};
    options.only_tags = attribute_json_tags(&options.only_count);
    AUTO_BUFFER json = {0};
    TRY(dicom_json_write(dataset, length, syntax, &options, &json));
    const char *text = buffer_text(&json);
    for (size_t i = 1; i < json.length && text[i] != '}';) {
        size_t size = member_length(text + i, json.length - i);
        member_keep(out, text + i, size);
        i += size + 1;
    }
    return STATUS_OK;
}

/* ---- searched values --------------------------------------------------------------------------- */

static void text_keep(extract_t *out, extract_value_t *value, const char *text, size_t length)
{
    value->known = true;
    value->text = out->texts.length;
    buffer_append(&out->texts, text, length);
    buffer_append_byte(&out->texts, 0);
}

static size_t first_value(const char *text, size_t length)
{
    const char *separator = memchr(text, '\\', length);
    return separator ? (size_t)(separator - text) : length;
}

static void decoded_keep(extract_t *out, const attribute_t *attribute, const char *text,
                         size_t length)
{
    extract_value_t *value = &out->values[attribute - attributes];
    date_text_t date;
    time_text_t time;
    AUTO_BUFFER folded = {0};
    value_trim(&text, &length);
    length = text_utf8_cut(text, length, EXTRACT_TEXT_MAX);
    switch (attribute->match) {
    case MATCH_DATE:
        if (value_date(text, first_value(text, length), date))
            text_keep(out, value, date, strlen(date));
        break;
    case MATCH_TIME:
        if (value_time(text, first_value(text, length), false, time))
            text_keep(out, value, time, strlen(time));
        break;
    case MATCH_NUMBER:
        value->known = value_number(text, first_value(text, length), &value->number);
        break;
    case MATCH_TEXT:
        fold_append(&folded, text, length);
        text_keep(out, value, buffer_text(&folded), folded.length);
        break;
    case MATCH_UID:
    case MATCH_EXACT:
    case MATCH_NAME:
        if (length)
            text_keep(out, value, text, length);
        break;
    case MATCH_NONE:
    case MATCH_MODALITIES:
        break;
    }
}

static void token_keep(extract_t *out, const attribute_t *attribute, const dicom_token_t *token,
                       dicom_charset_t *charset)
{
    extract_value_t *value = &out->values[attribute - attributes];
    if (token->vr == DICOM_VR('U', 'S')) {
        if (attribute->match == MATCH_NUMBER && token->length >= 2) {
            value->known = true;
            value->number = dicom_uint16(token->value, token->big_endian);
        }
        return;
    }
    AUTO_BUFFER text = {0};
    size_t length = token->length < 4 * EXTRACT_TEXT_MAX ? token->length : 4 * EXTRACT_TEXT_MAX;
    dicom_charset_decode(charset, token->vr, token->value, length, &text);
    const char *decoded = buffer_text(&text);
    decoded_keep(out, attribute, decoded, strnlen(decoded, text.length));
}

/* The VRs that hold text, or the number that Rows and its like are; anything else is a mistake. */
static bool vr_is_searchable(uint16_t vr)
{
    static const char vrs[] = "AEASCSDADSDTISLOLTPNSHSTTMUIUCURUTUS";
    for (size_t i = 0; i + 1 < sizeof vrs; i += 2)
        if (vr == DICOM_VR(vrs[i], vrs[i + 1]))
            return true;
    return false;
}

typedef struct {
    extract_t *out;
    dicom_charset_t *charset;
    uint32_t sequence; /* the wanted one at top level that we are in, or were in last */
    unsigned item;     /* of it: 1, 2, 3 ... */
} walk_t;

static bool sequence_is_wanted(uint32_t tag)
{
    for (size_t i = 0; i < attribute_count; i++)
        if (attributes[i].within == tag)
            return true;
    return false;
}

/* Of doubled tags the last counts, as in the JSON, so nothing of an earlier one stays. */
static void sequence_enter(walk_t *walk, uint32_t tag)
{
    walk->sequence = tag;
    walk->item = 0;
    for (size_t i = 0; i < attribute_count; i++)
        if (attributes[i].within == tag)
            walk->out->values[i] = (extract_value_t){0};
}

static void element_take(walk_t *walk, const dicom_token_t *token)
{
    if (token->tag == TAG_CHARACTER_SET && token->depth == 0) {
        dicom_charset_close(&walk->charset);
        walk->charset = dicom_charset_open((const char *)token->value, token->length);
        return;
    }
    const attribute_t *attribute = attribute_find(token->tag);
    if (!attribute || attribute->computed || attribute->match == MATCH_NONE)
        return;
    if (token->depth > 1 || attribute->within != (token->depth ? walk->sequence : 0))
        return;
    extract_value_t *value = &walk->out->values[attribute - attributes];
    unsigned item = token->depth ? walk->item : 0;
    if (value->known && value->item != item)
        return; /* of several items the first that has it */
    *value = (extract_value_t){.item = item};
    if (vr_is_searchable(token->vr))
        token_keep(walk->out, attribute, token, walk->charset);
}

static status_t values_walk(walk_t *walk, const uint8_t *dataset, size_t length, const char *syntax)
{
    dicom_reader_t reader;
    dicom_token_t token;
    dicom_reader_init(&reader, dataset, length, dicom_transfer_syntax_find(syntax));
    for (;;) {
        TRY(dicom_reader_next(&reader, &token));
        if (token.kind == DICOM_TOKEN_END || (token.depth == 0 && token.tag >= TAG_PIXELS))
            return STATUS_OK;
        if (token.kind == DICOM_TOKEN_ELEMENT)
            element_take(walk, &token);
        if (token.kind == DICOM_TOKEN_ITEM)
            walk->item++; /* only items of the wanted sequence are met */
        if (token.kind != DICOM_TOKEN_SEQUENCE)
            continue;
        if (token.depth == 0 && sequence_is_wanted(token.tag))
            sequence_enter(walk, token.tag);
        else
            TRY(dicom_reader_skip_sequence(&reader));
    }
}

static status_t plain_extract(const uint8_t *dataset, size_t length, const char *syntax,
                              extract_t *out)
{
    walk_t walk = {.out = out, .charset = dicom_charset_open(NULL, 0)};
    status_t status = values_walk(&walk, dataset, length, syntax);
    dicom_charset_close(&walk.charset);
    if (status == STATUS_OK)
        status = fragments_extract(dataset, length, syntax, out);
    if (status != STATUS_OK)
        extract_clear(out);
    return status;
}

status_t extract_dataset(const uint8_t *dataset, size_t length, const char *transfer_syntax_uid,
                         extract_t *out)
{
    extract_clear(out);
    if (!dicom_transfer_syntax_find(transfer_syntax_uid)->deflated)
        return plain_extract(dataset, length, transfer_syntax_uid, out);
    AUTO_BUFFER inflated = {0};
    TRY(dicom_inflate(dataset, length, DICOM_INFLATE_MAX, EXTRACT_INFLATE_RATIO, &inflated));
    return plain_extract((const uint8_t *)buffer_text(&inflated), inflated.length,
                         DICOM_EXPLICIT_LITTLE, out);
}
