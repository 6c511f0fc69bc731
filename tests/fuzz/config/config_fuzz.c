#include "config/config.h"

#include <stdbool.h>
#include <stdlib.h>

/* Any bytes as a configuration file: accepted or refused with a sentence, nothing leaks. */
typedef struct {
    char *text;
    int64_t number;
    bool truth;
    config_list_t list;
} values_t;

static const config_field_t fields[] = {CONFIG_TEXT(values_t, text, "t", NULL, ""),
                                        CONFIG_NUMBER(values_t, number, "1", -5, 5, NULL, ""),
                                        CONFIG_BOOL(values_t, truth, "no", NULL, ""),
                                        CONFIG_LIST(values_t, list, "a,b", NULL, ""), CONFIG_END};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    values_t values = {0};
    status_t status = config_parse(fields, "fuzz", (const char *)data, size, &values);
    if (status == STATUS_OK) {
        if (!values.text || values.number < -5 || values.number > 5)
            abort();
        config_destroy(fields, &values);
    } else if (values.text || values.list.items) {
        abort();
    }
    return 0;
}
