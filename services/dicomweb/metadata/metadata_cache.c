#include "dicomweb/metadata/metadata_cache.h"

#include "base/memory.h"
#include "dicomweb/metadata/metadata_build.h"
#include "dicomweb/metadata/metadata_make.h"
#include "dicomweb/metadata/metadata_shelf.h"
#include "service/metrics.h"

#include <stdlib.h>
#include <string.h>

static metric_t built = METRIC_COUNTER("zpacs_metadata_built_total", "Metadata of series made.");

metadata_cache_t *metadata_cache_create(size_t bytes_max)
{
    metadata_cache_t *cache = memory_allocate(sizeof *cache);
    metric_register(&built);
    pthread_mutex_init(&cache->lock, NULL);
    pthread_cond_init(&cache->changed, NULL);
    cache->bytes_max = bytes_max;
    return cache;
}

/* Waits while it is being made; what was made of other records makes room. NULL: make it. */
static metadata_entry_t *find_made(metadata_cache_t *cache, const location_t *first,
                                   const char *base, const uint8_t fingerprint[SHA256_SIZE])
{
    for (;;) {
        size_t slot = shelf_find(cache, first->study, first->series, base);
        if (slot == SIZE_MAX)
            return NULL;
        metadata_entry_t *entry = cache->slots[slot];
        if (entry->shelf.is_building) {
            pthread_cond_wait(&cache->changed, &cache->lock);
            continue;
        }
        if (memcmp(entry->fingerprint, fingerprint, SHA256_SIZE) == 0)
            return entry;
        shelf_unlist(cache, slot);
    }
}

static metadata_entry_t *start(metadata_cache_t *cache, const location_t *first, const char *base,
                               const uint8_t fingerprint[SHA256_SIZE], uint64_t generation)
{
    metadata_entry_t *entry = memory_allocate(sizeof *entry);
    memcpy(entry->study, first->study, sizeof entry->study);
    memcpy(entry->series, first->series, sizeof entry->series);
    entry->base = memory_copy_text(base);
    memcpy(entry->fingerprint, fingerprint, SHA256_SIZE);
    entry->shelf.generation = generation;
    entry->shelf.is_building = true;
    shelf_list(cache, entry);
    return shelf_hold(cache, entry);
}

/* Gives back what was reserved and not needed. */
static void trim(metadata_cache_t *cache, metadata_entry_t *entry)
{
    size_t all = 0;
    for (size_t i = 0; i < METADATA_HALVES; i++) {
        buffer_t *json = &entry->halves[i].json;
        if (json->length > 0 && json->length < json->capacity) {
            json->data = memory_resize(json->data, json->length);
            json->capacity = json->length;
        }
        all += json->capacity;
    }
    shelf_set_cost(cache, entry, metadata_entry_cost(entry, all));
}

static void finish(metadata_cache_t *cache, metadata_entry_t *entry, bool is_good)
{
    entry->shelf.is_building = false;
    pthread_cond_broadcast(&cache->changed);
    if (is_good)
        trim(cache, entry);
    if (!is_good || entry->shelf.generation != cache->generation)
        shelf_unlist_entry(cache, entry);
    if (!is_good)
        shelf_let_go(cache, entry);
}

/* ---- without the lock ------------------------------------------------------------------------- */

bool metadata_cache_reserve(metadata_cache_t *cache, metadata_entry_t *entry, size_t more)
{
    pthread_mutex_lock(&cache->lock);
    bool has_room = shelf_make_room(cache, entry, entry->shelf.cost + more);
    pthread_mutex_unlock(&cache->lock);
    return has_room;
}

size_t metadata_cache_share(const metadata_cache_t *cache)
{
    return cache->bytes_max / METADATA_CACHE_SHARE;
}

uint64_t metadata_cache_generation(metadata_cache_t *cache)
{
    pthread_mutex_lock(&cache->lock);
    uint64_t generation = cache->generation;
    pthread_mutex_unlock(&cache->lock);
    return generation;
}

status_t metadata_cache_get(dicomweb_t *dicomweb, const location_t *locations, size_t count,
                            uint64_t generation, const char *base, metadata_entry_t **out_entry)
{
    metadata_cache_t *cache = dicomweb->metadata;
    uint8_t fingerprint[SHA256_SIZE];
    metadata_fingerprint(locations, count, fingerprint);
    pthread_mutex_lock(&cache->lock);
    metadata_entry_t *entry = find_made(cache, locations, base, fingerprint);
    if (entry) {
        *out_entry = shelf_hold(cache, entry);
        pthread_mutex_unlock(&cache->lock);
        return STATUS_OK;
    }
    entry = start(cache, locations, base, fingerprint, generation);
    pthread_mutex_unlock(&cache->lock);
    bool fits = false;
    status_t status = metadata_make(dicomweb, locations, count, entry, &fits);
    bool is_good = status == STATUS_OK && fits;
    metric_add(&built, is_good);
    pthread_mutex_lock(&cache->lock);
    finish(cache, entry, is_good);
    pthread_mutex_unlock(&cache->lock);
    if (status == STATUS_OK)
        *out_entry = fits ? entry : NULL;
    return status;
}

metadata_entry_t *metadata_cache_look_up(metadata_cache_t *cache, const char *study,
                                         const char *series, const char *base,
                                         const uint8_t *fingerprint)
{
    metadata_entry_t *entry = NULL;
    pthread_mutex_lock(&cache->lock);
    size_t slot = shelf_find(cache, study, series, base);
    if (slot != SIZE_MAX && !cache->slots[slot]->shelf.is_building &&
        (!fingerprint || memcmp(cache->slots[slot]->fingerprint, fingerprint, SHA256_SIZE) == 0))
        entry = shelf_hold(cache, cache->slots[slot]);
    pthread_mutex_unlock(&cache->lock);
    return entry;
}

void metadata_cache_forget(metadata_cache_t *cache, const char *study, const char *series)
{
    pthread_mutex_lock(&cache->lock);
    cache->generation++; /* what is being made now is not kept */
    for (size_t i = 0; i < METADATA_CACHE_SLOTS; i++) {
        const metadata_entry_t *entry = cache->slots[i];
        if (entry && !entry->shelf.is_building && strcmp(entry->study, study) == 0 &&
            (!*series || strcmp(entry->series, series) == 0))
            shelf_unlist(cache, i);
    }
    pthread_mutex_unlock(&cache->lock);
}

/* Returns what the pieces take. */
static size_t make_pieces(const metadata_entry_t *entry, gzip_piece_t *out_pieces)
{
    size_t cost = 0;
    for (size_t i = 0; i < METADATA_HALVES; i++) {
        const buffer_t *json = &entry->halves[i].json;
        out_pieces[i] = (gzip_piece_t){0};
        if (entry->halves[i].count > 0)
            gzip_piece_make(json->data, json->length, &out_pieces[i]);
        cost += out_pieces[i].blocks.capacity;
    }
    return cost;
}

bool metadata_cache_pack(metadata_cache_t *cache, metadata_entry_t *entry)
{
    struct metadata_shelf *shelf = &entry->shelf;
    pthread_mutex_lock(&cache->lock);
    while (shelf->is_packing)
        pthread_cond_wait(&cache->changed, &cache->lock);
    if (!shelf->is_packed) {
        shelf->is_packing = true;
        pthread_mutex_unlock(&cache->lock);
        gzip_piece_t pieces[METADATA_HALVES];
        size_t cost = make_pieces(entry, pieces);
        pthread_mutex_lock(&cache->lock);
        shelf->is_packing = false;
        shelf->is_packed = shelf_make_room(cache, entry, shelf->cost + cost);
        for (size_t i = 0; i < METADATA_HALVES; i++) {
            if (shelf->is_packed)
                entry->halves[i].gzip = pieces[i];
            else
                gzip_piece_destroy(&pieces[i]);
        }
        pthread_cond_broadcast(&cache->changed);
    }
    bool is_packed = shelf->is_packed;
    pthread_mutex_unlock(&cache->lock);
    return is_packed;
}

void metadata_cache_release(metadata_cache_t *cache, metadata_entry_t **entry)
{
    if (!*entry)
        return;
    pthread_mutex_lock(&cache->lock);
    shelf_let_go(cache, *entry);
    pthread_mutex_unlock(&cache->lock);
    *entry = NULL;
}

void metadata_cache_destroy(metadata_cache_t **cache)
{
    if (!*cache)
        return;
    for (size_t i = 0; i < METADATA_CACHE_SLOTS; i++)
        if ((*cache)->slots[i])
            shelf_unlist(*cache, i);
    pthread_cond_destroy(&(*cache)->changed);
    pthread_mutex_destroy(&(*cache)->lock);
    free(*cache);
    *cache = NULL;
}
