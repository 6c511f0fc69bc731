/* The body of a request to /api: how deep it is must be known before the parser that calls itself goes down there. */
#include "dicomweb/manage/json_depth.h"

#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>

enum { DEPTH_MAX = 64 };

/* How many brackets lie around the innermost place. */
static size_t depth_of(const json_t *value)
{
    size_t deepest = 0;
    if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            size_t depth = depth_of(json_array_get(value, i));
            deepest = depth > deepest ? depth : deepest;
        }
        return deepest + 1;
    }
    if (!json_is_object(value))
        return 0;
    for (void *at = json_object_iter((json_t *)(uintptr_t)value); at;
         at = json_object_iter_next((json_t *)(uintptr_t)value, at)) {
        size_t depth = depth_of(json_object_iter_value(at));
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest + 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!json_is_shallow(data, size, DEPTH_MAX))
        return 0;
    json_t *value = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
    if (value && (!json_is_shallow(data, size, depth_of(value)) ||
                  json_is_shallow(data, size, depth_of(value) - 1)))
        abort();
    json_decref(value);
    return 0;
}
