/*
 * A BulkDataURI's path from anybody, into a dataset from anybody: what is found lies inside the
 * dataset, and is found again. The first line of the input is the path; the byte behind it chooses
 * the transfer syntax of the rest.
 */
#include "base/memory.h"
#include "dicom/json.h"

#include "pick_syntax.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    const uint8_t *bytes;
    size_t length;
    uint16_t vr;
    bool encapsulated;
} found_t;

static status_t find(const uint8_t *dataset, size_t length, const char *syntax, const char *path,
                     found_t *out)
{
    return dicom_bulk_find(dataset, length, syntax, path, &out->bytes, &out->length, &out->vr,
                           &out->encapsulated);
}

static bool is_same(const found_t *a, const found_t *b)
{
    return a->bytes == b->bytes && a->length == b->length && a->vr == b->vr &&
           a->encapsulated == b->encapsulated;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
    if (!end || (size_t)(end - data) + 2 > size)
        return 0;
    AUTO_FREE char *path = memory_copy_text_n((const char *)data, (size_t)(end - data));
    const char *syntax = pick_syntax(end[1]);
    const uint8_t *dataset = end + 2;
    size_t length = size - (size_t)(dataset - data);
    found_t first = {0}, second = {0};
    status_t status = find(dataset, length, syntax, path, &first);
    if (status != find(dataset, length, syntax, path, &second) || !is_same(&first, &second))
        abort();
    if (status == STATUS_OK && first.length &&
        (first.bytes < dataset || first.bytes + first.length > dataset + length))
        abort();
    return 0;
}
