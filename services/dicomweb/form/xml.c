#include "dicomweb/form/xml.h"

#include "base/memory.h"
#include "dicom/dictionary.h"
#include "dicom/reader.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* XML 1.0 2.2: most control characters may not appear, not even escaped. */
static void append_escaped(buffer_t *out, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '<')
            buffer_append_text(out, "&lt;");
        else if (c == '>')
            buffer_append_text(out, "&gt;");
        else if (c == '&')
            buffer_append_text(out, "&amp;");
        else if (c == '"')
            buffer_append_text(out, "&quot;");
        else if (c < 0x20 && c != '\t' && c != '\n' && c != '\r')
            buffer_append_text(out, "\xEF\xBF\xBD");
        else if (c == '\r')
            buffer_append_text(out, "&#13;");
        else
            buffer_append_byte(out, c);
    }
}

/* The shortest decimal that reads back as the same number. */
static void append_real(buffer_t *out, double number)
{
    char text[32];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
    buffer_append_text(out, text);
}

/* The five components of a name; trailing ones may be missing.              PS3.19 table A.1.5-2 */
static void append_name_group(buffer_t *out, const char *group, const char *value)
{
    static const char *const parts[] = {"FamilyName", "GivenName", "MiddleName", "NamePrefix",
                                        "NameSuffix"};
    AUTO_FREE char *copy = memory_copy_text(value);
    char *rest = copy;
    buffer_printf(out, "<%s>", group);
    for (size_t i = 0; i < sizeof parts / sizeof *parts && rest; i++) {
        char *part = strsep(&rest, "^");
        if (!part[0])
            continue;
        buffer_printf(out, "<%s>", parts[i]);
        append_escaped(out, part);
        buffer_printf(out, "</%s>", parts[i]);
    }
    buffer_printf(out, "</%s>", group);
}

static void append_name(buffer_t *out, json_t *name, size_t number)
{
    static const char *const groups[] = {"Alphabetic", "Ideographic", "Phonetic"};
    buffer_printf(out, "<PersonName number=\"%zu\">", number);
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        const char *value = json_string_value(json_object_get(name, groups[i]));
        if (value)
            append_name_group(out, groups[i], value);
    }
    buffer_append_text(out, "</PersonName>");
}

static void append_value(buffer_t *out, json_t *value, size_t number)
{
    if (json_is_object(value)) {
        append_name(out, value, number);
        return;
    }
    buffer_printf(out, "<Value number=\"%zu\">", number);
    if (json_is_string(value))
        append_escaped(out, json_string_value(value));
    else if (json_is_integer(value))
        buffer_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        append_real(out, json_real_value(value));
    buffer_append_text(out, "</Value>");
}

/* The private creator (gggg,00bb) of a private element (gggg,bbee), in the same item. PS3.5 7.8.1 */
static const char *private_creator(json_t *item, uint32_t tag)
{
    char key[9];
    snprintf(key, sizeof key, "%04X00%02X", tag >> 16, (tag >> 8) & 0xFF);
    return json_string_value(
        json_array_get(json_object_get(json_object_get(item, key), "Value"), 0));
}

static void open_attribute(buffer_t *out, json_t *item, const char *key, json_t *attribute)
{
    uint32_t tag = (uint32_t)strtoul(key, NULL, 16);
    const char *vr = json_string_value(json_object_get(attribute, "vr"));
    const dicom_attribute_t *row = dicom_dictionary_by_tag(tag);
    bool is_private = (tag >> 16) & 1;
    const char *creator = is_private && (tag & 0xFFFF) > 0xFF ? private_creator(item, tag) : NULL;
    /* PS3.19 table A.1.5-2: the block of a private element is written as 00. */
    if (creator)
        tag &= 0xFFFF00FF;
    buffer_printf(out, "<DicomAttribute tag=\"%08X\" vr=\"%s\"", tag, vr ? vr : "UN");
    if (row && !is_private && row->keyword && row->keyword[0])
        buffer_printf(out, " keyword=\"%s\"", row->keyword);
    if (creator) {
        buffer_append_text(out, " privateCreator=\"");
        append_escaped(out, creator);
        buffer_append_byte(out, '"');
    }
    buffer_append_byte(out, '>');
}

/* Everything but sequences. */
static void append_content(buffer_t *out, json_t *attribute)
{
    const char *inline_binary = json_string_value(json_object_get(attribute, "InlineBinary"));
    const char *uri = json_string_value(json_object_get(attribute, "BulkDataURI"));
    json_t *values = json_object_get(attribute, "Value");
    if (inline_binary)
        buffer_printf(out, "<InlineBinary>%s</InlineBinary>", inline_binary);
    if (uri) {
        buffer_append_text(out, "<BulkData uri=\"");
        append_escaped(out, uri);
        buffer_append_text(out, "\"/>");
    }
    for (size_t i = 0; i < json_array_size(values); i++)
        if (!json_is_null(json_array_get(values, i)))
            append_value(out, json_array_get(values, i), i + 1);
}

/* An item that is being written: the root, or one of a sequence. */
typedef struct {
    json_t *item;
    void *next;      /* jansson's iterator at the attribute to write next */
    json_t *items;   /* the sequence's; NULL for the root */
    size_t position; /* of item in items */
} level_t;

static level_t level_of(json_t *items, size_t position)
{
    json_t *item = json_array_get(items, position);
    return (level_t){item, json_object_iter(item), items, position};
}

static bool is_sequence(json_t *attribute)
{
    const char *vr = json_string_value(json_object_get(attribute, "vr"));
    return vr && strcmp(vr, "SQ") == 0;
}

/* The item at the top is written: on to the next of its sequence, or back to what it lies in. */
static void end_item(buffer_t *out, level_t *stack, size_t *depth)
{
    level_t *top = &stack[*depth - 1];
    if (!top->items) {
        (*depth)--;
        return;
    }
    buffer_append_text(out, "</Item>");
    if (top->position + 1 < json_array_size(top->items)) {
        *top = level_of(top->items, top->position + 1);
        buffer_printf(out, "<Item number=\"%zu\">", top->position + 1);
        return;
    }
    buffer_append_text(out, "</DicomAttribute>");
    (*depth)--;
}

static status_t write_items(buffer_t *out, json_t *root)
{
    level_t stack[DICOM_NESTING_MAX + 2];
    size_t depth = 1;
    stack[0] = (level_t){root, json_object_iter(root), NULL, 0};
    while (depth > 0) {
        level_t *top = &stack[depth - 1];
        if (!top->next) {
            end_item(out, stack, &depth);
            continue;
        }
        json_t *attribute = json_object_iter_value(top->next);
        open_attribute(out, top->item, json_object_iter_key(top->next), attribute);
        top->next = json_object_iter_next(top->item, top->next);
        json_t *items = is_sequence(attribute) ? json_object_get(attribute, "Value") : NULL;
        if (json_array_size(items) > 0) {
            if (depth == sizeof stack / sizeof *stack)
                return fail(STATUS_INTERNAL, "items nested deeper than the reader allows");
            stack[depth++] = level_of(items, 0);
            buffer_append_text(out, "<Item number=\"1\">");
            continue;
        }
        append_content(out, attribute);
        buffer_append_text(out, "</DicomAttribute>");
    }
    return STATUS_OK;
}

status_t xml_append_model(const char *json, size_t length, buffer_t *out)
{
    json_error_t error;
    json_t *root = json_loadb(json, length, JSON_ALLOW_NUL, &error);
    if (!root) /* a UV over the largest signed number */
        root = json_loadb(json, length, JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, &error);
    if (!json_is_object(root)) {
        json_decref(root);
        return fail(STATUS_INTERNAL, "metadata is not a JSON object: %s", error.text);
    }
    buffer_append_text(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                            "<NativeDicomModel xml:space=\"preserve\""
                            " xmlns=\"http://dicom.nema.org/PS3.19/models/NativeDICOM\">");
    status_t status = write_items(out, root);
    buffer_append_text(out, "</NativeDicomModel>\n");
    json_decref(root);
    return status;
}
