#include "dicomweb/metadata_make.h"

#include "base/memory.h"
#include "dicomweb/metadata_build.h"

#include <string.h>

enum { BYTES_PER_INSTANCE = 8 * 1024 }; /* a CT's header as JSON */

size_t metadata_entry_cost(const metadata_entry_t *entry, size_t json)
{
    return sizeof *entry + strlen(entry->base) + entry->count * sizeof *entry->slices + json;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* By half at a time, and never more than is free. */
static bool grow(metadata_cache_t *cache, metadata_entry_t *entry, size_t needed)
{
    buffer_t *json = &entry->json;
    size_t capacity = json->capacity + json->capacity / 2;
    if (needed <= json->capacity)
        return true;
    if (capacity < needed)
        capacity = needed;
    if (!metadata_cache_reserve(cache, entry, capacity))
        return false;
    json->data = memory_resize(json->data, capacity);
    json->capacity = capacity;
    return true;
}

/* The first batch tells about how much all of it will be. */
static bool is_hopeless(const metadata_cache_t *cache, const metadata_entry_t *entry,
                        const buffer_t *first, size_t first_count)
{
    return first->length / first_count > metadata_cache_share(cache) / entry->count;
}

static bool add_batch(metadata_cache_t *cache, metadata_entry_t *entry, const buffer_t *objects,
                      const metadata_slice_t *slices, size_t count, size_t made)
{
    if (made == 0 && is_hopeless(cache, entry, objects, count))
        return false;
    if (!grow(cache, entry, entry->json.length + 1 + objects->length))
        return false;
    if (made > 0)
        buffer_append_byte(&entry->json, ',');
    for (size_t i = 0; i < count; i++) {
        entry->slices[made + i] = slices[i];
        entry->slices[made + i].offset += entry->json.length;
    }
    buffer_append(&entry->json, objects->data, objects->length);
    return true;
}

static status_t make_all(metadata_cache_t *cache, metadata_build_t *build, metadata_entry_t *entry,
                         bool *out_fits)
{
    AUTO_BUFFER objects = {0};
    metadata_slice_t slices[METADATA_BATCH];
    for (size_t made = 0, count = 1; count > 0; made += count) {
        buffer_clear(&objects);
        TRY(metadata_build_next(build, &objects, slices, &count));
        if (count > 0 && !add_batch(cache, entry, &objects, slices, count, made))
            return STATUS_OK;
    }
    *out_fits = true;
    return STATUS_OK;
}

status_t metadata_make(dicomweb_t *dicomweb, const location_t *locations, size_t count,
                       metadata_entry_t *entry, bool *out_fits)
{
    metadata_cache_t *cache = dicomweb->metadata;
    size_t at_first = least(count * BYTES_PER_INSTANCE, metadata_cache_share(cache) / 4);
    entry->count = count;
    *out_fits = false;
    if (!grow(cache, entry, at_first))
        return STATUS_OK;
    entry->slices = memory_allocate(count * sizeof *entry->slices);
    metadata_build_t build;
    metadata_build_begin(&build, dicomweb, locations, count, entry->base);
    status_t status = make_all(cache, &build, entry, out_fits);
    metadata_build_end(&build);
    return status;
}
