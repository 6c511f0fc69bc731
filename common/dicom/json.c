#include "dicom/json.h"

#include "base/memory.h"
#include "dicom/choice.h"
#include "dicom/json_repeat.h"
#include "dicom/json_value.h"

#include <stdlib.h>
#include <string.h>

#define TAG_CHARSET              DICOM_TAG(0x0008, 0x0005)
#define TAG_PIXEL_REPRESENTATION DICOM_TAG(0x0028, 0x0103)

typedef dicom_json_entry_t entry_t; /* they form a stack, objects within objects */

/* The dataset (level 0) or an item being written. */
typedef struct {
    size_t object_start; /* of the text behind its '{' */
    size_t first_entry;
    uint32_t last_tag;
    bool any, disordered;
    dicom_charset_t *charset; /* its own, or NULL: that of the level around it */
    size_t open_entry;        /* of the sequence that is open in it */
    uint32_t open_tag;
    unsigned items;
} level_t;

typedef struct {
    const dicom_json_options_t *options;
    dicom_reader_t reader;
    buffer_t *out;
    buffer_t scratch;
    entry_t *entries;
    size_t entry_count, entry_capacity;
    unsigned depth;
    level_t levels[DICOM_NESTING_MAX + 1];
    dicom_choices_t choices;
    bool is_told; /* by its bytes alone: all of the top-level element so far (json_repeat.h) */
} writer_t;

/* ---- objects and their keys ----------------------------------------------------------------- */

static void object_begin(writer_t *writer, unsigned depth)
{
    buffer_append_byte(writer->out, '{');
    writer->depth = depth;
    writer->levels[depth] =
        (level_t){.object_start = writer->out->length, .first_entry = writer->entry_count};
    dicom_choices_begin(&writer->choices, depth);
}

static int compare_entries(const void *a, const void *b)
{
    const entry_t *left = a, *right = b;
    if (left->tag != right->tag)
        return left->tag < right->tag ? -1 : 1;
    return left->start < right->start ? -1 : left->start > right->start;
}

/* Writes the keys of an object again in ascending order; of equal ones the last stays. */
static void object_sort(writer_t *writer, const level_t *level)
{
    entry_t *entries = writer->entries + level->first_entry;
    size_t count = writer->entry_count - level->first_entry;
    qsort(entries, count, sizeof *entries, compare_entries);
    AUTO_BUFFER sorted = {0};
    for (size_t i = 0; i < count; i++) {
        if (i + 1 < count && entries[i].tag == entries[i + 1].tag)
            continue;
        if (sorted.length)
            buffer_append_byte(&sorted, ',');
        buffer_append(&sorted, writer->out->data + entries[i].start,
                      entries[i].end - entries[i].start);
    }
    writer->out->length = level->object_start;
    buffer_append(writer->out, sorted.data, sorted.length);
}

static void object_end(writer_t *writer)
{
    level_t *level = &writer->levels[writer->depth];
    if (level->disordered)
        object_sort(writer, level);
    dicom_charset_close(&level->charset);
    writer->entry_count = level->first_entry;
    buffer_append_byte(writer->out, '}');
    writer->depth -= writer->depth > 0;
}

/* A new entry of the object that is open. */
static entry_t *entry_begin(writer_t *writer, uint32_t tag, size_t offset)
{
    level_t *level = &writer->levels[writer->depth];
    if (level->any)
        buffer_append_byte(writer->out, ',');
    level->disordered = level->disordered || (level->any && tag <= level->last_tag);
    level->last_tag = tag;
    level->any = true;
    if (writer->entry_count == writer->entry_capacity) {
        writer->entry_capacity = writer->entry_capacity ? 2 * writer->entry_capacity : 256;
        writer->entries =
            memory_resize(writer->entries, writer->entry_capacity * sizeof *writer->entries);
    }
    entry_t *entry = &writer->entries[writer->entry_count++];
    *entry = (entry_t){.tag = tag, .start = writer->out->length, .offset = offset};
    return entry;
}

/* "GGGGEEEE":{"vr":"XX" */
static void key_begin(writer_t *writer, const dicom_token_t *token, uint16_t vr)
{
    static const char hex[] = "0123456789ABCDEF", pattern[] = "\"GGGGEEEE\":{\"vr\":\"XX\"";
    buffer_t *out = writer->out;
    entry_begin(writer, token->tag, token->offset);
    buffer_append(out, pattern, sizeof pattern - 1);
    uint8_t *text = out->data + out->length - (sizeof pattern - 1);
    for (int i = 0; i < 8; i++)
        text[1 + i] = (uint8_t)hex[(token->tag >> (28 - 4 * i)) & 15];
    text[18] = (uint8_t)(vr >> 8);
    text[19] = (uint8_t)vr;
}

static void key_end(writer_t *writer, size_t entry)
{
    buffer_append_byte(writer->out, '}');
    writer->entries[entry].end = writer->out->length;
    if (writer->is_told)
        writer->entries[entry].size = writer->reader.position - writer->entries[entry].offset;
}

/* ---- what an element depends on ------------------------------------------------------------- */

static dicom_charset_t *charset_of(writer_t *writer)
{
    for (unsigned depth = writer->depth + 1; depth-- > 0;)
        if (writer->levels[depth].charset)
            return writer->levels[depth].charset;
    writer->levels[0].charset = dicom_charset_open(NULL, 0);
    return writer->levels[0].charset;
}

/* Whether nothing but its bytes decides what is written of it, and of no other element. */
static bool tells_all(const writer_t *writer, const dicom_token_t *token)
{
    if (token->depth == 0 && (token->tag == TAG_CHARSET || token->tag == TAG_PIXEL_REPRESENTATION))
        return false;
    return !token->implicit_vr &&
           (token->kind != DICOM_TOKEN_SEQUENCE ||
            memcmp(writer->reader.bytes + token->offset + sizeof token->tag, "SQ", 2) == 0);
}

/* Takes note of what later elements depend on. */
static void note(writer_t *writer, const dicom_token_t *token)
{
    level_t *level = &writer->levels[writer->depth];
    dicom_choices_note(&writer->choices, token);
    if (token->tag == TAG_CHARSET) {
        dicom_charset_close(&level->charset);
        level->charset = dicom_charset_open((const char *)token->value, token->length);
    }
}

/* ---- elements ------------------------------------------------------------------------------- */

static bool is_pixel_data(const dicom_token_t *token)
{
    return token->depth == 0 &&
           (token->tag == DICOM_TAG(0x7FE0, 0x0010) || token->tag == DICOM_TAG(0x7FE0, 0x0008) ||
            token->tag == DICOM_TAG(0x7FE0, 0x0009));
}

static bool is_bulk(const dicom_json_options_t *options, const dicom_token_t *token, uint16_t vr)
{
    if (token->kind == DICOM_TOKEN_ENCAPSULATED)
        return true;
    bool long_text = options->text_inline_max && token->length > options->text_inline_max;
    switch (dicom_json_form(vr)) {
    case DICOM_FORM_BINARY:
        return token->length > options->inline_max ||
               ((token->length || token->cut) && is_pixel_data(token)) ||
               (vr == DICOM_VR('U', 'N') && long_text);
    case DICOM_FORM_WHOLE:
        return vr != DICOM_VR('U', 'R') && long_text;
    default:
        return false;
    }
}

/* "<prefix>/<tag>/<item>/<tag>": the path that dicom_bulk_find() takes */
static void write_bulk_uri(writer_t *writer, uint32_t tag)
{
    const char *prefix = writer->options->bulk_data_uri;
    writer->is_told = false;
    if (!prefix)
        return;
    buffer_t *out = writer->out;
    buffer_append_text(out, ",\"BulkDataURI\":");
    dicom_json_string(out, (const uint8_t *)prefix, strlen(prefix));
    out->length--; /* the closing quote */
    for (unsigned depth = 0; depth < writer->depth; depth++)
        buffer_printf(out, "/%08X/%u", writer->levels[depth].open_tag, writer->levels[depth].items);
    buffer_printf(out, "/%08X\"", tag);
}

static void write_element(writer_t *writer, const dicom_token_t *token)
{
    uint16_t vr = dicom_choices_vr(&writer->choices, &writer->reader, token);
    bool bulk = is_bulk(writer->options, token, vr);
    if (token->cut && !bulk)
        return;
    size_t entry = writer->entry_count;
    key_begin(writer, token, vr);
    if (token->tag == TAG_CHARSET)
        buffer_append_text(writer->out, ",\"Value\":[\"ISO_IR 192\"]"); /* PS3.18 F.2: UTF-8 */
    else if (bulk)
        write_bulk_uri(writer, token->tag);
    else if (dicom_json_form(vr) != DICOM_FORM_BINARY)
        dicom_json_values(writer->out, token, vr, charset_of(writer), &writer->scratch);
    else if (token->length)
        dicom_json_inline_binary(writer->out, token, vr, &writer->scratch);
    key_end(writer, entry);
}

static int compare_tags(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return left < right ? -1 : left > right;
}

static bool is_wanted(const writer_t *writer, const dicom_token_t *token)
{
    const dicom_json_options_t *options = writer->options;
    if ((token->tag & 0xFFFF) == 0 || token->tag == DICOM_TAG(0xFFFC, 0xFFFC))
        return false;
    if (token->depth)
        return true;
    if (token->tag >> 16 == 0x0002)
        return false;
    return !options->only_tags || bsearch(&token->tag, options->only_tags, options->only_count,
                                          sizeof *options->only_tags, compare_tags);
}

static status_t write_token(writer_t *writer, const dicom_token_t *token)
{
    level_t *level = &writer->levels[writer->depth];
    switch (token->kind) {
    case DICOM_TOKEN_ELEMENT:
    case DICOM_TOKEN_ENCAPSULATED:
        note(writer, token);
        if (is_wanted(writer, token))
            write_element(writer, token);
        break;
    case DICOM_TOKEN_SEQUENCE:
        if (!is_wanted(writer, token))
            return dicom_reader_skip_sequence(&writer->reader);
        level->open_entry = writer->entry_count;
        level->open_tag = token->tag;
        level->items = 0;
        key_begin(writer, token, DICOM_VR('S', 'Q'));
        break;
    case DICOM_TOKEN_ITEM:
        buffer_append_text(writer->out, level->items++ ? "," : ",\"Value\":[");
        object_begin(writer, writer->depth + 1);
        break;
    case DICOM_TOKEN_ITEM_END:
        object_end(writer);
        break;
    case DICOM_TOKEN_SEQUENCE_END:
        if (level->items)
            buffer_append_byte(writer->out, ']');
        key_end(writer, level->open_entry);
        break;
    case DICOM_TOKEN_END:
        break;
    }
    return STATUS_OK;
}

/* ---- what the dataset before said, too -------------------------------------------------------- */

/* The element that comes next, if it is the same one. */
static bool write_again(writer_t *writer)
{
    const uint8_t *text;
    const entry_t *same = dicom_json_repeat_find(writer->options->repeat, &writer->reader, &text);
    if (!same)
        return false;
    entry_t *entry = entry_begin(writer, same->tag, writer->reader.position);
    buffer_append(writer->out, text, same->end - same->start);
    entry->end = writer->out->length;
    entry->size = same->size;
    dicom_reader_pass(&writer->reader, same->tag, same->size);
    return true;
}

static void note_top_level(writer_t *writer, const dicom_token_t *token)
{
    switch (token->kind) {
    case DICOM_TOKEN_ELEMENT:
    case DICOM_TOKEN_ENCAPSULATED:
    case DICOM_TOKEN_SEQUENCE:
        writer->is_told = true;
        dicom_json_repeat_note(writer->options->repeat, &writer->reader, token);
        break;
    default:
        break;
    }
}

static void keep(writer_t *writer)
{
    const level_t *level = &writer->levels[0];
    if (level->disordered || writer->reader.truncated)
        return;
    dicom_json_repeat_keep(writer->options->repeat, &writer->reader, writer->out,
                           level->object_start, &writer->entries, writer->entry_count);
}

/* ---- all of it -------------------------------------------------------------------------------- */

static status_t write_all(writer_t *writer)
{
    dicom_json_repeat_begin(writer->options->repeat, &writer->reader);
    object_begin(writer, 0);
    for (;;) {
        if (writer->reader.depth == 0 && write_again(writer))
            continue;
        dicom_token_t token;
        TRY(dicom_reader_next(&writer->reader, &token));
        if (token.kind == DICOM_TOKEN_END)
            break;
        if (writer->options->stop_before_pixel_data && is_pixel_data(&token))
            break;
        if (token.depth == 0)
            note_top_level(writer, &token);
        writer->is_told = writer->is_told && tells_all(writer, &token);
        TRY(write_token(writer, &token));
    }
    keep(writer);
    object_end(writer);
    return STATUS_OK;
}

status_t dicom_json_write(const uint8_t *dataset, size_t length, const char *transfer_syntax_uid,
                          const dicom_json_options_t *options, buffer_t *out_json)
{
    writer_t writer; /* 10 KB, of which little is touched: not zeroed */
    writer.options = options;
    writer.out = out_json;
    writer.scratch = (buffer_t){0};
    writer.entries = NULL;
    writer.entry_count = writer.entry_capacity = 0;
    writer.is_told = false;
    dicom_reader_init(&writer.reader, dataset, length,
                      dicom_transfer_syntax_find(transfer_syntax_uid));
    size_t start = out_json->length;
    status_t status = write_all(&writer);
    if (status != STATUS_OK) {
        out_json->length = start;
        for (unsigned depth = 0; depth <= writer.depth; depth++)
            dicom_charset_close(&writer.levels[depth].charset);
    }
    buffer_destroy(&writer.scratch);
    free(writer.entries);
    return status;
}
