#include "config/values.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

const char *values_key(const config_field_t *field)
{
    const char *dot = strrchr(field->key, '.');
    return dot ? dot + 1 : field->key;
}

void values_append(config_value_t *value, const char *text, size_t length)
{
    config_list_t *list = &value->list;
    list->items = memory_resize(list->items, (list->count + 1) * sizeof *list->items);
    list->items[list->count++] = memory_copy_text_n(text, length);
}

void values_split(const char *text, config_value_t *value)
{
    while (*text && value->list.count < VALUES_ITEMS_MAX) {
        size_t length = strcspn(text, ",");
        const char *first = text, *last = text + length;
        while (first < last && *first == ' ')
            first++;
        while (last > first && last[-1] == ' ')
            last--;
        if (last > first)
            values_append(value, first, (size_t)(last - first));
        text += length + (text[length] == ',');
    }
}

void values_list_destroy(config_list_t *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (config_list_t){NULL, 0};
}

/*
 * The only shape allowed:
 *     START -> MAPPING -> { KEY -> value | KEY -> SEQUENCE -> items } -> END
 */
typedef enum {
    STATE_START,    /* before the mapping */
    STATE_KEY,      /* in the mapping, a key is due */
    STATE_VALUE,    /* its value is due */
    STATE_SEQUENCE, /* inside a list */
    STATE_END       /* after the mapping */
} state_t;

typedef struct {
    const config_field_t *fields;
    const char *name;
    config_value_t *values;
    config_value_t *current; /* of the key last read */
    state_t state;
} reader_t;

static status_t read_key(reader_t *reader, const char *key, size_t length, size_t line)
{
    for (size_t i = 0; reader->fields[i].key; i++) {
        const char *known = values_key(&reader->fields[i]);
        if (strlen(known) != length || memcmp(known, key, length) != 0)
            continue;
        reader->current = &reader->values[i];
        if (reader->current->line)
            return fail(STATUS_INVALID, "%s:%zu: key '%s' was given before in line %zu",
                        reader->name, line, known, reader->current->line);
        reader->current->line = line;
        reader->state = STATE_VALUE;
        return STATUS_OK;
    }
    return fail(STATUS_INVALID, "%s:%zu: unknown key '%.60s'", reader->name, line, key);
}

static status_t read_scalar(reader_t *reader, const yaml_event_t *event, size_t line)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t length = event->data.scalar.length;
    if (event->data.scalar.anchor || event->data.scalar.tag)
        return fail(STATUS_INVALID, "%s:%zu: anchors and tags are not supported", reader->name,
                    line);
    if (memchr(text, 0, length))
        return fail(STATUS_INVALID, "%s:%zu: a NUL byte in a value", reader->name, line);
    switch (reader->state) {
    case STATE_START: /* "~", "" and the like: libyaml's idea of an empty document */
        if (length == 0 && event->data.scalar.plain_implicit) {
            reader->state = STATE_END;
            return STATUS_OK;
        }
        return fail(STATUS_INVALID, "%s:%zu: 'key: value' lines expected", reader->name, line);
    case STATE_KEY:
        return read_key(reader, text, length, line);
    case STATE_VALUE:
        values_append(reader->current, text, length);
        reader->state = STATE_KEY;
        return STATUS_OK;
    case STATE_SEQUENCE:
        if (reader->current->list.count >= VALUES_ITEMS_MAX)
            return fail(STATUS_TOO_LARGE, "%s:%zu: a list of more than %d items", reader->name,
                        line, VALUES_ITEMS_MAX);
        values_append(reader->current, text, length);
        return STATUS_OK;
    case STATE_END:
        break;
    }
    return fail(STATUS_INVALID, "%s:%zu: one document only", reader->name, line);
}

static status_t read_event(reader_t *reader, const yaml_event_t *event)
{
    size_t line = event->start_mark.line + 1;
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return read_scalar(reader, event, line);
    case YAML_MAPPING_START_EVENT:
        if (reader->state != STATE_START || event->data.mapping_start.anchor ||
            event->data.mapping_start.tag)
            return fail(STATUS_INVALID, "%s:%zu: a mapping is not allowed here", reader->name,
                        line);
        reader->state = STATE_KEY;
        return STATUS_OK;
    case YAML_MAPPING_END_EVENT:
        reader->state = STATE_END;
        return STATUS_OK;
    case YAML_SEQUENCE_START_EVENT:
        if (reader->state != STATE_VALUE || event->data.sequence_start.anchor ||
            event->data.sequence_start.tag)
            return fail(STATUS_INVALID, "%s:%zu: a list is not allowed here", reader->name, line);
        reader->current->is_sequence = true;
        reader->state = STATE_SEQUENCE;
        return STATUS_OK;
    case YAML_SEQUENCE_END_EVENT:
        reader->state = STATE_KEY;
        return STATUS_OK;
    case YAML_ALIAS_EVENT:
        return fail(STATUS_INVALID, "%s:%zu: aliases are not supported", reader->name, line);
    default:
        return STATUS_OK;
    }
}

status_t values_read(const config_field_t *fields, const char *name, const char *yaml,
                     size_t length, config_value_t *out_values)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return fail(STATUS_INTERNAL, "libyaml does not start");
    yaml_parser_set_input_string(&parser, (const unsigned char *)(yaml ? yaml : ""), length);

    reader_t reader = {.fields = fields, .name = name, .values = out_values};
    status_t status = STATUS_OK;
    bool is_end = false;
    while (status == STATUS_OK && !is_end) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            status = fail(STATUS_INVALID, "%s:%zu: %s", name, parser.problem_mark.line + 1,
                          parser.problem ? parser.problem : "not YAML");
            break;
        }
        is_end = event.type == YAML_STREAM_END_EVENT;
        status = read_event(&reader, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return status;
}
