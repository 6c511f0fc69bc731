#ifndef ZPACS_CONFIG_VALUES_H
#define ZPACS_CONFIG_VALUES_H

#include "config/config.h"

#include <stdbool.h>

/* Inside common/config only: what a YAML file says, still as text. */
enum { VALUES_ITEMS_MAX = 4096 };

typedef struct {
    size_t line; /* of the key, from 1; 0: the file does not mention it */
    bool is_sequence;
    config_list_t list; /* a single value is a list of one */
} config_value_t;

/* The key in the file: the member's name after its last dot. */
const char *values_key(const config_field_t *field);

void values_append(config_value_t *value, const char *text, size_t length);
void values_split(const char *text, config_value_t *value); /* at commas; blanks around are cut */
void values_list_destroy(config_list_t *list);

/*
 * Reads one flat mapping; out_values has a zeroed element per field, and the caller destroys the
 * lists whatever the outcome.
 * Fails: INVALID (not YAML, nesting, alias or tag, unknown key, second mention).
 */
status_t values_read(const config_field_t *fields, const char *name, const char *yaml,
                     size_t length, config_value_t *out_values);

#endif
