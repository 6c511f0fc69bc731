#include "index/find/answer.h"

#include <stdlib.h>
#include <string.h>

void answer_shape_default(answer_shape_t *shape, level_t level, bool names_study, bool names_series)
{
    memset(shape, 0, sizeof *shape);
    for (size_t i = 0; i < attribute_count; i++) {
        const attribute_t *attribute = &attributes[i];
        bool shown = attribute->level == level ||
                     (attribute->level == LEVEL_STUDY && !names_study) ||
                     (attribute->level == LEVEL_SERIES && !names_series);
        if (attribute->level > level)
            continue;
        if (attribute->match == MATCH_UID && attribute->computed)
            shown = true;
        if (attribute->tag == 0x00080056 && level != LEVEL_SERIES) /* of studies and instances */
            shown = true;
        if (shown && attribute->returned != RETURN_ASKED)
            shape->wanted[i] = attribute->returned == RETURN_ALWAYS ? ANSWER_ALWAYS : ANSWER_KNOWN;
    }
}

static void member_begin(buffer_t *out, const attribute_t *attribute)
{
    buffer_printf(out, ",\"%08X\":{\"vr\":\"%s\"", attribute->tag, attribute->vr);
}

static void text_member(buffer_t *out, const attribute_t *attribute, const char *text)
{
    member_begin(out, attribute);
    buffer_append_text(out, ",\"Value\":[");
    buffer_append_json(out, text, strlen(text));
    buffer_append_text(out, "]}");
}

static void number_member(buffer_t *out, const attribute_t *attribute, int64_t number)
{
    member_begin(out, attribute);
    buffer_printf(out, ",\"Value\":[%lld]}", (long long)number);
}

static void modalities_member(buffer_t *out, const attribute_t *attribute, const char *modalities)
{
    member_begin(out, attribute);
    if (*modalities)
        buffer_append_text(out, ",\"Value\":[");
    for (const char *text = modalities; *text;) {
        size_t length = strcspn(text, "\\");
        if (text != modalities)
            buffer_append_byte(out, ',');
        buffer_append_json(out, text, length);
        text += length + (text[length] != 0);
    }
    buffer_append_text(out, *modalities ? "]}" : "}");
}

static void computed_member(buffer_t *out, const attribute_t *attribute, const answer_row_t *row)
{
    switch (attribute->tag) {
    case 0x00080016:
        text_member(out, attribute, row->sop_class_uid);
        break;
    case 0x00080018:
        text_member(out, attribute, row->sop_instance_uid);
        break;
    case 0x00080056:
        text_member(out, attribute, "ONLINE");
        break;
    case 0x00080061:
        modalities_member(out, attribute, row->modalities);
        break;
    case 0x0020000D:
        text_member(out, attribute, row->study_instance_uid);
        break;
    case 0x0020000E:
        text_member(out, attribute, row->series_instance_uid);
        break;
    case 0x00201206:
        number_member(out, attribute, row->series_count);
        break;
    case 0x00201208:
        number_member(out, attribute, row->study_instances);
        break;
    case 0x00201209:
        number_member(out, attribute, row->series_instances);
        break;
    default:
        break;
    }
}

/* The line of a tag in an ascending fragment; *position moves on to it. NULL: there is none. */
static const char *line_find(const char **position, uint32_t tag, size_t *out_length)
{
    while (**position) {
        uint32_t found = (uint32_t)strtoul(*position + 1, NULL, 16);
        *out_length = strcspn(*position, "\n");
        if (found >= tag)
            return found == tag ? *position : NULL;
        *position += *out_length + ((*position)[*out_length] != 0);
    }
    return NULL;
}

void answer_append(buffer_t *out, const answer_shape_t *shape, const answer_row_t *row)
{
    const char *positions[LEVEL_COUNT] = {"", row->fragments[LEVEL_STUDY],
                                          row->fragments[LEVEL_SERIES],
                                          row->fragments[LEVEL_INSTANCE]};
    buffer_append_text(out, "{\"00080005\":{\"vr\":\"CS\",\"Value\":[\"ISO_IR 192\"]}");
    for (size_t i = 0; i < attribute_count; i++) {
        const attribute_t *attribute = &attributes[i];
        size_t length = 0;
        if (!shape->wanted[i] || attribute->within)
            continue;
        if (attribute->computed) {
            computed_member(out, attribute, row);
            continue;
        }
        const char *line = line_find(&positions[attribute->level], attribute->tag, &length);
        if (line) {
            buffer_append_byte(out, ',');
            buffer_append(out, line, length);
        } else if (shape->wanted[i] == ANSWER_ALWAYS) {
            member_begin(out, attribute);
            buffer_append_byte(out, '}');
        }
    }
    buffer_append_byte(out, '}');
}
