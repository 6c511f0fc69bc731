/* A query string and a path from anybody. */
#include "base/memory.h"
#include "base/text.h"
#include "http/query.h"
#include "http/route.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void try_path(const char *text)
{
    static const http_route_t routes[] = {{"GET", "/studies/{study}", "", "", NULL},
                                          {"GET", "/studies/{study}/bulk/{rest...}", "", "", NULL},
                                          {NULL, NULL, NULL, NULL, NULL}};
    http_path_t *path = memory_allocate(sizeof *path);
    http_match_t *match = memory_allocate(sizeof *match);
    if (http_path_split(text, path) == STATUS_OK) {
        for (size_t i = 0; i < path->count; i++)
            if (strcmp(path->segments[i], "..") == 0 || strchr(path->segments[i], '/'))
                abort();
        http_route_find(routes, "GET", path, match);
        if (match->route && match->count == 0)
            abort();
    }
    free(path);
    free(match);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = memory_copy_text_n((const char *)data, size);
    http_query_t query = {0};
    if (http_query_parse(text, &query) == STATUS_OK)
        for (size_t i = 0; i < query.count; i++)
            if (!text_is_utf8(query.terms[i].name, strlen(query.terms[i].name)) ||
                !text_is_utf8(query.terms[i].value, strlen(query.terms[i].value)))
                abort();
    http_query_destroy(&query);
    try_path(text);
    free(text);
    return 0;
}
