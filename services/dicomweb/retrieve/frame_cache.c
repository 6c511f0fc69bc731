#include "dicomweb/retrieve/frame_cache.h"

#include "base/memory.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { WAYS = 8 }; /* slots that one instance may lie in */

struct frame_cache {
    pthread_mutex_t lock;
    size_t bytes, bytes_max;
    uint64_t clock;
    frame_table_t *slots[FRAME_CACHE_SLOTS];
};

frame_cache_t *frame_cache_create(size_t bytes_max)
{
    frame_cache_t *cache = memory_allocate(sizeof *cache);
    pthread_mutex_init(&cache->lock, NULL);
    cache->bytes_max = bytes_max;
    return cache;
}

static void free_table(frame_table_t *table)
{
    dicom_frames_destroy(&table->frames);
    free(table);
}

/* Takes a table out of the cache; whoever uses it still holds it. */
static void unlist(frame_cache_t *cache, size_t slot)
{
    frame_table_t *table = cache->slots[slot];
    cache->slots[slot] = NULL;
    cache->bytes -= table->cost;
    table->is_listed = false;
    if (table->users == 0)
        free_table(table);
}

void frame_cache_destroy(frame_cache_t **cache)
{
    if (!*cache)
        return;
    for (size_t i = 0; i < FRAME_CACHE_SLOTS; i++)
        if ((*cache)->slots[i])
            unlist(*cache, i);
    pthread_mutex_destroy(&(*cache)->lock);
    free(*cache);
    *cache = NULL;
}

/* Instances of a series lie in a pack at equal distances, which may have all low bits in common: the
 * last product spreads them over the high ones (Fibonacci hashing). */
static size_t first_way(const location_t *location)
{
    uint64_t hash = location->record_offset >> 12;
    for (const char *at = location->pack.text; *at; at++)
        hash = hash * 31 + (uint8_t)*at;
    hash = hash * UINT64_C(11400714819323198485) >> 32;
    return (size_t)(hash % (FRAME_CACHE_SLOTS / WAYS)) * WAYS;
}

static bool is_of(const frame_table_t *table, const location_t *location)
{
    return table->record_offset == location->record_offset &&
           strcmp(table->pack.text, location->pack.text) == 0;
}

static frame_table_t *look_up(frame_cache_t *cache, const location_t *location)
{
    size_t first = first_way(location);
    for (size_t i = first; i < first + WAYS; i++) {
        frame_table_t *table = cache->slots[i];
        if (table && is_of(table, location)) {
            table->users++;
            table->last_used = ++cache->clock;
            return table;
        }
    }
    return NULL;
}

/* The slot that is free, or used the longest ago, among count from first on. */
static size_t oldest(const frame_cache_t *cache, size_t first, size_t count, bool skip_empty)
{
    size_t best = SIZE_MAX;
    for (size_t i = first; i < first + count; i++) {
        if (!cache->slots[i] && skip_empty)
            continue;
        if (!cache->slots[i])
            return i;
        if (best == SIZE_MAX || cache->slots[i]->last_used < cache->slots[best]->last_used)
            best = i;
    }
    return best;
}

static void list(frame_cache_t *cache, const location_t *location, frame_table_t *table)
{
    if (table->cost > cache->bytes_max)
        return;
    while (cache->bytes + table->cost > cache->bytes_max)
        unlist(cache, oldest(cache, 0, FRAME_CACHE_SLOTS, true));
    size_t slot = oldest(cache, first_way(location), WAYS, false);
    if (cache->slots[slot])
        unlist(cache, slot);
    cache->slots[slot] = table;
    cache->bytes += table->cost;
    table->last_used = ++cache->clock;
    table->is_listed = true;
}

static status_t build(dicomweb_t *dicomweb, const stored_t *stored, frame_table_t **out_table)
{
    dataset_t dataset;
    dicom_frames_t *frames = NULL;
    TRY(dataset_open(dicomweb, stored, &dataset));
    dataset_will_skip_pixels(&dataset, stored);
    status_t status = dicom_frames_locate(dataset.bytes, dataset.length,
                                          stored->location.transfer_syntax, &frames);
    if (status == STATUS_OK) {
        frame_table_t *table = memory_allocate(sizeof *table);
        table->frames = frames;
        table->pack = stored->location.pack;
        table->record_offset = stored->location.record_offset;
        table->cost = sizeof *table + sizeof *frames + frames->span_count * sizeof *frames->spans;
        if (frames->frame_first)
            table->cost += (frames->frame_count + 1) * sizeof *frames->frame_first;
        *out_table = table;
    }
    dataset_close(&dataset);
    return status;
}

status_t frame_cache_get(dicomweb_t *dicomweb, const stored_t *stored, frame_table_t **out_table)
{
    frame_cache_t *cache = dicomweb->frames;
    pthread_mutex_lock(&cache->lock);
    frame_table_t *table = look_up(cache, &stored->location);
    pthread_mutex_unlock(&cache->lock);
    if (!table) {
        TRY(build(dicomweb, stored, &table));
        pthread_mutex_lock(&cache->lock);
        frame_table_t *other = look_up(cache, &stored->location); /* another thread was faster */
        if (other) {
            free_table(table);
            table = other;
        } else {
            table->users = 1;
            list(cache, &stored->location, table);
        }
        pthread_mutex_unlock(&cache->lock);
    }
    *out_table = table;
    return STATUS_OK;
}

void frame_cache_release(dicomweb_t *dicomweb, frame_table_t **table)
{
    if (!*table)
        return;
    pthread_mutex_lock(&dicomweb->frames->lock);
    (*table)->users--;
    if ((*table)->users == 0 && !(*table)->is_listed)
        free_table(*table);
    pthread_mutex_unlock(&dicomweb->frames->lock);
    *table = NULL;
}
