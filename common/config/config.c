#include "config/config.h"

#include "config/values.h"
#include "base/buffer.h"
#include "base/memory.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX_BYTES = 1024 * 1024 };

static size_t fields_count(const config_field_t *fields)
{
    size_t count = 0;
    while (fields[count].key)
        count++;
    return count;
}

/* A field's value as it will stand in the struct; only one member is used. */
typedef struct {
    char *text;
    config_list_t list;
    int64_t number;
    bool truth;
} typed_t;

static void typed_destroy(typed_t *typed, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(typed[i].text);
        values_list_destroy(&typed[i].list);
    }
    free(typed);
}

static bool number_from_text(const char *text, int64_t *out_number)
{
    char *end = NULL;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno || end == text || *end || strspn(text, "-0123456789") != strlen(text))
        return false;
    *out_number = number;
    return true;
}

static bool truth_from_text(const char *text, bool *out_truth)
{
    static const struct {
        const char *word;
        bool truth;
    } words[] = {{"true", true},   {"yes", true}, {"1", true},
                 {"false", false}, {"no", false}, {"0", false}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(text, words[i].word) == 0) {
            *out_truth = words[i].truth;
            return true;
        }
    }
    return false;
}

/* where: "zpacs.yaml:7", "environment variable ZPACS_DATA", "default". */
static status_t convert(const config_field_t *field, config_value_t *value, const char *where,
                        typed_t *out_typed)
{
    const char *key = values_key(field);
    if (field->type == CONFIG_TYPE_LIST) {
        out_typed->list = value->list;
        value->list = (config_list_t){NULL, 0};
        return STATUS_OK;
    }
    if (value->is_sequence)
        return fail(STATUS_INVALID, "%s: key '%s' takes one value, not a list", where, key);
    const char *text = value->list.items[0];
    switch (field->type) {
    case CONFIG_TYPE_TEXT:
        out_typed->text = memory_copy_text(text);
        return STATUS_OK;
    case CONFIG_TYPE_NUMBER:
        if (!number_from_text(text, &out_typed->number))
            return fail(STATUS_INVALID, "%s: key '%s' takes a whole number, not '%.40s'", where,
                        key, text);
        if (out_typed->number < field->low || out_typed->number > field->high)
            return fail(STATUS_INVALID, "%s: key '%s' is %lld, allowed are %lld to %lld", where,
                        key, (long long)out_typed->number, (long long)field->low,
                        (long long)field->high);
        return STATUS_OK;
    case CONFIG_TYPE_BOOL:
        if (!truth_from_text(text, &out_typed->truth))
            return fail(STATUS_INVALID, "%s: key '%s' takes true or false, not '%.40s'", where, key,
                        text);
        return STATUS_OK;
    case CONFIG_TYPE_LIST:
        break;
    }
    return fail(STATUS_INTERNAL, "key '%s' has an unknown type", key);
}

/* Environment over file over default. */
static status_t choose(const config_field_t *field, const char *name, config_value_t *from_file,
                       typed_t *out_typed)
{
    const char *variable = field->environment ? getenv(field->environment) : NULL;
    if (!variable && from_file->line) {
        AUTO_FREE char *where = memory_format("%s:%zu", name, from_file->line);
        return convert(field, from_file, where, out_typed);
    }
    const char *text = variable ? variable : field->initial;
    AUTO_FREE char *where = variable ? memory_format("environment variable %s", field->environment)
                                     : memory_copy_text("default");
    config_value_t value = {0};
    if (field->type == CONFIG_TYPE_LIST)
        values_split(text, &value);
    else
        values_append(&value, text, strlen(text));
    status_t status = convert(field, &value, where, out_typed);
    values_list_destroy(&value.list);
    return status;
}

static void store(const config_field_t *field, typed_t *typed, void *out_values)
{
    char *member = (char *)out_values + field->offset;
    switch (field->type) {
    case CONFIG_TYPE_TEXT:
        memcpy(member, &typed->text, sizeof typed->text);
        break;
    case CONFIG_TYPE_NUMBER:
        memcpy(member, &typed->number, sizeof typed->number);
        break;
    case CONFIG_TYPE_BOOL:
        memcpy(member, &typed->truth, sizeof typed->truth);
        break;
    case CONFIG_TYPE_LIST:
        memcpy(member, &typed->list, sizeof typed->list);
        break;
    }
    typed->text = NULL;
    typed->list = (config_list_t){NULL, 0};
}

status_t config_parse(const config_field_t *fields, const char *name, const char *yaml,
                      size_t length, void *out_values)
{
    size_t count = fields_count(fields);
    config_value_t *from_file = memory_allocate(count * sizeof *from_file);
    typed_t *typed = memory_allocate(count * sizeof *typed);

    status_t status = values_read(fields, name, yaml, length, from_file);
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        status = choose(&fields[i], name, &from_file[i], &typed[i]);
    if (status == STATUS_OK)
        for (size_t i = 0; i < count; i++)
            store(&fields[i], &typed[i], out_values);

    typed_destroy(typed, count);
    for (size_t i = 0; i < count; i++)
        values_list_destroy(&from_file[i].list);
    free(from_file);
    return status;
}

status_t config_load(const config_field_t *fields, const char *path, void *out_values)
{
    if (!path)
        return config_parse(fields, "", "", 0, out_values);
    FILE *file = fopen(path, "re");
    if (!file)
        return fail(errno == ENOENT ? STATUS_NOT_FOUND : STATUS_INVALID, "%s: %s", path,
                    strerror(errno));
    AUTO_BUFFER text = {0};
    size_t got = 0;
    do {
        buffer_reserve(&text, 64 * 1024);
        got = fread(text.data + text.length, 1, 64 * 1024, file);
        text.length += got;
    } while (got && text.length <= FILE_MAX_BYTES);
    bool is_broken = ferror(file);
    fclose(file);
    if (is_broken)
        return fail(STATUS_INVALID, "%s cannot be read", path);
    if (text.length > FILE_MAX_BYTES)
        return fail(STATUS_INVALID, "%s is larger than %d bytes", path, FILE_MAX_BYTES);
    return config_parse(fields, path, (const char *)text.data, text.length, out_values);
}

void config_destroy(const config_field_t *fields, void *values)
{
    for (const config_field_t *field = fields; field->key; field++) {
        char *member = (char *)values + field->offset;
        if (field->type == CONFIG_TYPE_TEXT) {
            char *text = NULL;
            memcpy(&text, member, sizeof text);
            free(text);
            text = NULL;
            memcpy(member, &text, sizeof text);
        } else if (field->type == CONFIG_TYPE_LIST) {
            config_list_t list;
            memcpy(&list, member, sizeof list);
            values_list_destroy(&list);
            memset(member, 0, sizeof list);
        }
    }
}
