#include "dicomweb/metadata_cache.h"

#include "base/memory.h"
#include "dicomweb/gzip.h"
#include "dicomweb/header_json.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES_PER_INSTANCE = 6 * 1024 }; /* what we reserve: a CT's header */

struct metadata_cache {
    pthread_mutex_t lock;
    pthread_cond_t built;
    size_t bytes, bytes_max;
    uint64_t clock;
    metadata_entry_t *slots[METADATA_CACHE_SLOTS];
};

metadata_cache_t *metadata_cache_create(size_t bytes_max)
{
    metadata_cache_t *cache = memory_allocate(sizeof *cache);
    pthread_mutex_init(&cache->lock, NULL);
    pthread_cond_init(&cache->built, NULL);
    cache->bytes_max = bytes_max;
    return cache;
}

static void free_entry(metadata_entry_t *entry)
{
    free(entry->base);
    free(entry->slices);
    buffer_destroy(&entry->json);
    buffer_destroy(&entry->gzip);
    free(entry);
}

/* ---- all below until "building": the lock is held ------------------------------------------- */

static void unlist(metadata_cache_t *cache, size_t slot)
{
    metadata_entry_t *entry = cache->slots[slot];
    cache->slots[slot] = NULL;
    cache->bytes -= entry->cost;
    entry->is_listed = false;
    if (entry->users == 0)
        free_entry(entry);
}

static size_t find_slot(const metadata_cache_t *cache, const char *study, const char *series,
                        const char *base)
{
    for (size_t i = 0; i < METADATA_CACHE_SLOTS; i++) {
        const metadata_entry_t *entry = cache->slots[i];
        if (entry && strcmp(entry->series, series) == 0 && strcmp(entry->study, study) == 0 &&
            strcmp(entry->base, base) == 0)
            return i;
    }
    return SIZE_MAX;
}

static void unlist_entry(metadata_cache_t *cache, const metadata_entry_t *entry)
{
    for (size_t i = 0; i < METADATA_CACHE_SLOTS; i++)
        if (cache->slots[i] == entry)
            unlist(cache, i);
}

/* The entry that was used the longest ago and is not being built; SIZE_MAX: none. */
static size_t oldest(const metadata_cache_t *cache, const metadata_entry_t *but)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < METADATA_CACHE_SLOTS; i++) {
        const metadata_entry_t *entry = cache->slots[i];
        if (entry && entry != but && !entry->is_building &&
            (best == SIZE_MAX || entry->last_used < cache->slots[best]->last_used))
            best = i;
    }
    return best;
}

static void shrink(metadata_cache_t *cache, const metadata_entry_t *but)
{
    while (cache->bytes > cache->bytes_max) {
        size_t slot = oldest(cache, but);
        if (slot == SIZE_MAX)
            break;
        unlist(cache, slot);
    }
}

/* Puts an entry into a free slot, making one free if need be; without one it stays unlisted. */
static void list(metadata_cache_t *cache, metadata_entry_t *entry)
{
    size_t slot = SIZE_MAX;
    for (size_t i = 0; i < METADATA_CACHE_SLOTS && slot == SIZE_MAX; i++)
        if (!cache->slots[i])
            slot = i;
    if (slot == SIZE_MAX) {
        slot = oldest(cache, entry);
        if (slot == SIZE_MAX)
            return;
        unlist(cache, slot);
    }
    cache->slots[slot] = entry;
    entry->is_listed = true;
}

static metadata_entry_t *hold(metadata_cache_t *cache, metadata_entry_t *entry)
{
    entry->users++;
    entry->last_used = ++cache->clock;
    return entry;
}

static void let_go(metadata_entry_t *entry)
{
    entry->users--;
    if (entry->users == 0 && !entry->is_listed)
        free_entry(entry);
}

/* ---- building: without the lock ------------------------------------------------------------- */

void metadata_fingerprint(const location_t *locations, size_t count,
                          uint8_t out_fingerprint[SHA256_SIZE])
{
    AUTO_BUFFER text = {0};
    for (size_t i = 0; i < count; i++) {
        buffer_append(&text, locations[i].pack.text, ULID_LENGTH);
        buffer_append(&text, &locations[i].record_offset, sizeof locations[i].record_offset);
    }
    crypto_sha256(text.data, text.length, out_fingerprint);
}

static status_t build(dicomweb_t *dicomweb, const location_t *locations, size_t count,
                      metadata_entry_t *entry)
{
    entry->slices = memory_allocate((count + 1) * sizeof *entry->slices);
    buffer_reserve(&entry->json, count * BYTES_PER_INSTANCE);
    buffer_append_byte(&entry->json, '[');
    for (size_t i = 0; i < count; i++) {
        size_t before = entry->json.length;
        if (entry->count > 0)
            buffer_append_byte(&entry->json, ',');
        size_t start = entry->json.length;
        status_t status = header_json_append(dicomweb, &locations[i], entry->base, &entry->json);
        if (status == STATUS_NOT_FOUND) { /* deleted since it was located */
            entry->json.length = before;
            continue;
        }
        TRY(status);
        struct metadata_slice *slice = &entry->slices[entry->count++];
        memcpy(slice->instance, locations[i].instance, sizeof slice->instance);
        slice->pack = locations[i].pack;
        slice->record_offset = locations[i].record_offset;
        slice->offset = start;
        slice->length = entry->json.length - start;
    }
    buffer_append_byte(&entry->json, ']');
    return STATUS_OK;
}

static size_t cost_of(const metadata_entry_t *entry)
{
    return sizeof *entry + entry->json.capacity + entry->gzip.capacity +
           entry->count * sizeof *entry->slices;
}

static metadata_entry_t *start(metadata_cache_t *cache, const location_t *locations,
                               const char *base, const uint8_t fingerprint[SHA256_SIZE],
                               uint64_t version)
{
    metadata_entry_t *entry = memory_allocate(sizeof *entry);
    memcpy(entry->study, locations[0].study, sizeof entry->study);
    memcpy(entry->series, locations[0].series, sizeof entry->series);
    entry->base = memory_copy_text(base);
    memcpy(entry->fingerprint, fingerprint, SHA256_SIZE);
    entry->version = version;
    entry->is_building = true;
    list(cache, entry);
    return hold(cache, entry);
}

static void finish(metadata_cache_t *cache, metadata_entry_t *entry, status_t status)
{
    entry->is_building = false;
    pthread_cond_broadcast(&cache->built);
    if (status != STATUS_OK) {
        unlist_entry(cache, entry);
        let_go(entry);
        return;
    }
    entry->cost = cost_of(entry);
    if (entry->is_listed)
        cache->bytes += entry->cost;
    shrink(cache, entry);
}

status_t metadata_cache_get(dicomweb_t *dicomweb, const location_t *locations, size_t count,
                            uint64_t version, const char *base, metadata_entry_t **out_entry)
{
    metadata_cache_t *cache = dicomweb->metadata;
    uint8_t fingerprint[SHA256_SIZE];
    metadata_fingerprint(locations, count, fingerprint);
    pthread_mutex_lock(&cache->lock);
    for (;;) {
        size_t slot = find_slot(cache, locations[0].study, locations[0].series, base);
        if (slot == SIZE_MAX)
            break;
        metadata_entry_t *entry = cache->slots[slot];
        if (entry->is_building) {
            pthread_cond_wait(&cache->built, &cache->lock);
            continue;
        }
        if (memcmp(entry->fingerprint, fingerprint, SHA256_SIZE) == 0) {
            if (version)
                entry->version = version;
            *out_entry = hold(cache, entry);
            pthread_mutex_unlock(&cache->lock);
            return STATUS_OK;
        }
        unlist(cache, slot);
    }
    metadata_entry_t *entry = start(cache, locations, base, fingerprint, version);
    pthread_mutex_unlock(&cache->lock);
    status_t status = build(dicomweb, locations, count, entry);
    pthread_mutex_lock(&cache->lock);
    finish(cache, entry, status);
    pthread_mutex_unlock(&cache->lock);
    if (status == STATUS_OK)
        *out_entry = entry;
    return status;
}

metadata_entry_t *metadata_cache_look_up(metadata_cache_t *cache, const char *study,
                                         const char *series, const char *base)
{
    metadata_entry_t *entry = NULL;
    pthread_mutex_lock(&cache->lock);
    size_t slot = find_slot(cache, study, series, base);
    if (slot != SIZE_MAX && !cache->slots[slot]->is_building)
        entry = hold(cache, cache->slots[slot]);
    pthread_mutex_unlock(&cache->lock);
    return entry;
}

void metadata_cache_forget(metadata_cache_t *cache, const char *study, const char *series)
{
    pthread_mutex_lock(&cache->lock);
    for (size_t i = 0; i < METADATA_CACHE_SLOTS; i++) {
        const metadata_entry_t *entry = cache->slots[i];
        if (entry && !entry->is_building && strcmp(entry->study, study) == 0 &&
            (!*series || strcmp(entry->series, series) == 0))
            unlist(cache, i);
    }
    pthread_mutex_unlock(&cache->lock);
}

const buffer_t *metadata_cache_gzip(metadata_cache_t *cache, metadata_entry_t *entry)
{
    pthread_mutex_lock(&cache->lock);
    bool is_there = entry->gzip.length > 0;
    pthread_mutex_unlock(&cache->lock);
    if (is_there)
        return &entry->gzip;
    buffer_t gzip = {0};
    gzip_append(entry->json.data, entry->json.length, &gzip);
    pthread_mutex_lock(&cache->lock);
    if (entry->gzip.length > 0) { /* another thread was faster */
        buffer_destroy(&gzip);
    } else {
        entry->gzip = gzip;
        if (entry->is_listed)
            cache->bytes += gzip.capacity;
        entry->cost += gzip.capacity;
        shrink(cache, entry);
    }
    pthread_mutex_unlock(&cache->lock);
    return &entry->gzip;
}

void metadata_cache_release(metadata_cache_t *cache, metadata_entry_t **entry)
{
    if (!*entry)
        return;
    pthread_mutex_lock(&cache->lock);
    let_go(*entry);
    pthread_mutex_unlock(&cache->lock);
    *entry = NULL;
}

void metadata_cache_destroy(metadata_cache_t **cache)
{
    if (!*cache)
        return;
    for (size_t i = 0; i < METADATA_CACHE_SLOTS; i++)
        if ((*cache)->slots[i])
            unlist(*cache, i);
    pthread_cond_destroy(&(*cache)->built);
    pthread_mutex_destroy(&(*cache)->lock);
    free(*cache);
    *cache = NULL;
}
