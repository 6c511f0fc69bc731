#ifndef ZPACS_CONFIG_CONFIG_H
#define ZPACS_CONFIG_CONFIG_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/*
 * A service's configuration is one typed table over one struct. Values come, the later over the
 * earlier, from the table's default, the YAML file, and the environment variable of the row.
 * Reading is strict: an unknown key, a second mention or a value out of range is an error that
 * names the key and its line.
 *
 *     typedef struct { char *data; int64_t port; bool_t ... } example_config_t;
 *     const config_field_t example_fields[] = {
 *         CONFIG_TEXT(example_config_t, data, "data", "/var/lib/zpacs", "ZPACS_DATA", "data folder"),
 *         CONFIG_NUMBER(example_config_t, port, "port", "11112", 1, 65535, "ZPACS_DICOM_PORT", "..."),
 *         CONFIG_END };
 */
typedef enum {
    CONFIG_TYPE_TEXT,
    CONFIG_TYPE_NUMBER,
    CONFIG_TYPE_BOOL,
    CONFIG_TYPE_LIST
} config_type_t;

/* A list of texts; from the environment: separated by commas. */
typedef struct {
    char **items;
    size_t count;
} config_list_t;

typedef struct {
    const char *key; /* in the YAML file: words joined by '_'; NULL ends the table */
    config_type_t type;
    size_t offset;
    const char *initial; /* the default, as text; "" for an empty text or list */
    int64_t low, high;   /* numbers only, inclusive */
    const char *environment;
    const char *help;
} config_field_t;

/* clang-format off */
#define CONFIG_TEXT(type_, member, initial, environment, help)                                     \
    {#member, CONFIG_TYPE_TEXT, offsetof(type_, member), initial, 0, 0, environment, help}
#define CONFIG_NUMBER(type_, member, initial, low, high, environment, help)                        \
    {#member, CONFIG_TYPE_NUMBER, offsetof(type_, member), initial, low, high, environment, help}
#define CONFIG_BOOL(type_, member, initial, environment, help)                                     \
    {#member, CONFIG_TYPE_BOOL, offsetof(type_, member), initial, 0, 1, environment, help}
#define CONFIG_LIST(type_, member, initial, environment, help)                                     \
    {#member, CONFIG_TYPE_LIST, offsetof(type_, member), initial, 0, 0, environment, help}
#define CONFIG_END {NULL, CONFIG_TYPE_TEXT, 0, NULL, 0, 0, NULL, NULL}
/* clang-format on */

/*
 * Fills *out_values (members: char * for TEXT, int64_t for NUMBER, bool for BOOL, config_list_t
 * for LIST). path may be NULL: defaults and environment only.
 *
 * Fails: INVALID (the sentence names file, line and key), NOT_FOUND (no such file).
 */
status_t config_load(const config_field_t *fields, const char *path, void *out_values);
status_t config_parse(const config_field_t *fields, const char *name, const char *yaml,
                      size_t length, void *out_values);
void config_destroy(const config_field_t *fields, void *values);

#endif
