#include "dicomweb/metadata/metadata_shelf.h"

#include "dicomweb/metadata/metadata_make.h"
#include "service/metrics.h"

#include <stdlib.h>
#include <string.h>

static metric_t held =
    METRIC_GAUGE("zpacs_metadata_bytes", "Metadata of series in memory, with what is being made.");

void shelf_set_cost(metadata_cache_t *cache, metadata_entry_t *entry, size_t cost)
{
    cache->bytes = cache->bytes - entry->shelf.cost + cost;
    entry->shelf.cost = cost;
    metric_set(&held, (int64_t)cache->bytes);
}

static void free_entry(metadata_cache_t *cache, metadata_entry_t *entry)
{
    shelf_set_cost(cache, entry, 0);
    free(entry->base);
    for (size_t i = 0; i < METADATA_HALVES; i++)
        metadata_half_destroy(&entry->halves[i]);
    free(entry);
}

void shelf_unlist(metadata_cache_t *cache, size_t slot)
{
    metadata_entry_t *entry = cache->slots[slot];
    cache->slots[slot] = NULL;
    entry->shelf.is_listed = false;
    if (entry->shelf.users == 0)
        free_entry(cache, entry);
}

/* FNV-1a: spreads; whether it is the series is compared. */
static uint64_t hash_of(const char *study, const char *series, const char *base)
{
    const char *const texts[] = {study, series, base};
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        for (const char *c = texts[i]; *c; c++)
            hash = (hash ^ (uint8_t)*c) * UINT64_C(1099511628211);
    return hash;
}

size_t shelf_find(const metadata_cache_t *cache, const char *study, const char *series,
                  const char *base)
{
    uint64_t hash = hash_of(study, series, base);
    for (size_t i = 0; i < METADATA_CACHE_SLOTS; i++) {
        const metadata_entry_t *entry = cache->slots[i];
        if (entry && cache->hashes[i] == hash && strcmp(entry->series, series) == 0 &&
            strcmp(entry->study, study) == 0 && strcmp(entry->base, base) == 0)
            return i;
    }
    return SIZE_MAX;
}

/* The listed entry that was used the longest ago and is in nobody's hands; SIZE_MAX: none. */
static size_t oldest(const metadata_cache_t *cache)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < METADATA_CACHE_SLOTS; i++) {
        const metadata_entry_t *entry = cache->slots[i];
        if (entry && entry->shelf.users == 0 &&
            (best == SIZE_MAX || entry->shelf.last_used < cache->slots[best]->shelf.last_used))
            best = i;
    }
    return best;
}

bool shelf_make_room(metadata_cache_t *cache, metadata_entry_t *entry, size_t cost)
{
    if (cost > cache->bytes_max / METADATA_CACHE_SHARE)
        return false;
    while (cache->bytes - entry->shelf.cost + cost > cache->bytes_max) {
        size_t slot = oldest(cache);
        if (slot == SIZE_MAX)
            return false;
        shelf_unlist(cache, slot);
    }
    shelf_set_cost(cache, entry, cost);
    return true;
}

/* Without a free slot it stays unlisted, and is gone when its last user leaves. */
void shelf_list(metadata_cache_t *cache, metadata_entry_t *entry)
{
    size_t slot = 0;
    while (slot < METADATA_CACHE_SLOTS && cache->slots[slot])
        slot++;
    if (slot == METADATA_CACHE_SLOTS) {
        slot = oldest(cache);
        if (slot == SIZE_MAX)
            return;
        shelf_unlist(cache, slot);
    }
    cache->slots[slot] = entry;
    cache->hashes[slot] = hash_of(entry->study, entry->series, entry->base);
    entry->shelf.is_listed = true;
}

metadata_entry_t *shelf_hold(metadata_cache_t *cache, metadata_entry_t *entry)
{
    entry->shelf.users++;
    entry->shelf.last_used = ++cache->clock;
    return entry;
}

void shelf_let_go(metadata_cache_t *cache, metadata_entry_t *entry)
{
    entry->shelf.users--;
    if (entry->shelf.users == 0 && !entry->shelf.is_listed)
        free_entry(cache, entry);
}

void shelf_unlist_entry(metadata_cache_t *cache, const metadata_entry_t *entry)
{
    for (size_t i = 0; i < METADATA_CACHE_SLOTS && entry->shelf.is_listed; i++)
        if (cache->slots[i] == entry)
            shelf_unlist(cache, i);
}
