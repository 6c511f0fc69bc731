#include "dicomweb/location.h"

#include "base/clock.h"
#include "base/memory.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/*
 * A viewer that plays a cine loop asks for one frame of the same instance thirty times a second;
 * the index need not hear each of them. Direct mapped: an instance has one slot, the newer wins.
 */
typedef struct {
    location_t location;
    int64_t until_ms; /* on clock_monotonic_ms(); 0: empty */
} slot_t;

struct location_cache {
    pthread_mutex_t lock;
    uint64_t generation; /* counts the clears: an answer from before one is not put in */
    slot_t slots[LOCATION_CACHE_SLOTS];
};

location_cache_t *location_cache_create(void)
{
    location_cache_t *cache = memory_allocate(sizeof *cache);
    pthread_mutex_init(&cache->lock, NULL);
    return cache;
}

void location_cache_destroy(location_cache_t **cache)
{
    if (!*cache)
        return;
    pthread_mutex_destroy(&(*cache)->lock);
    free(*cache);
    *cache = NULL;
}

void location_cache_clear(location_cache_t *cache)
{
    pthread_mutex_lock(&cache->lock);
    cache->generation++;
    for (size_t i = 0; i < LOCATION_CACHE_SLOTS; i++)
        cache->slots[i].until_ms = 0;
    pthread_mutex_unlock(&cache->lock);
}

/* FNV-1a: spreads, and need not resist anybody, since a collision costs one question. */
static size_t slot_of(const char *uid)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (; *uid; uid++)
        hash = (hash ^ (uint8_t)*uid) * UINT64_C(1099511628211);
    return (size_t)(hash >> 32) % LOCATION_CACHE_SLOTS;
}

static bool is_target(const location_t *location, const target_t *target)
{
    return strcmp(location->instance, target->instance) == 0 &&
           strcmp(location->series, target->series) == 0 &&
           strcmp(location->study, target->study) == 0;
}

status_t locate_instance_cached(dicomweb_t *dicomweb, const target_t *target,
                                location_t *out_location)
{
    location_cache_t *cache = dicomweb->locations;
    slot_t *slot = &cache->slots[slot_of(target->instance)];
    pthread_mutex_lock(&cache->lock);
    bool found = slot->until_ms > clock_monotonic_ms() && is_target(&slot->location, target);
    if (found)
        *out_location = slot->location;
    uint64_t generation = cache->generation;
    pthread_mutex_unlock(&cache->lock);
    if (found)
        return STATUS_OK;

    TRY(locate_instance(dicomweb, target, out_location));
    pthread_mutex_lock(&cache->lock);
    if (generation == cache->generation) {
        slot->location = *out_location;
        slot->until_ms = clock_monotonic_ms() + LOCATION_CACHE_MS;
    }
    pthread_mutex_unlock(&cache->lock);
    return STATUS_OK;
}
