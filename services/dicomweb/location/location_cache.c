#include "dicomweb/location/location_cache.h"

#include "base/clock.h"
#include "base/memory.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { WAYS = 8 }; /* slots that one instance may lie in: the oldest of them goes */

/*
 * A viewer that plays a cine loop asks for one frame of the same instance thirty times a second, and
 * scrolls through a series again and again; the index need not hear each of them.
 */
typedef struct {
    location_t location;
    int64_t put_ms; /* on clock_monotonic_ms(); 0: empty */
} slot_t;

struct location_cache {
    pthread_mutex_t lock;
    uint64_t generation; /* counts what was dropped: an answer from before is not put in */
    int64_t trusted_until_ms;
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
        cache->slots[i].put_ms = 0;
    pthread_mutex_unlock(&cache->lock);
}

void location_cache_trust(location_cache_t *cache, int64_t until_ms)
{
    pthread_mutex_lock(&cache->lock);
    cache->trusted_until_ms = until_ms;
    pthread_mutex_unlock(&cache->lock);
}

/* FNV-1a, whose low bits spread UIDs that differ in their last digits only, as those of a series do;
 * its high ones do not. It need not resist anybody, since a collision costs one question. */
static slot_t *first_way(location_cache_t *cache, const char *uid)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (; *uid; uid++)
        hash = (hash ^ (uint8_t)*uid) * UINT64_C(1099511628211);
    return &cache->slots[(size_t)hash % (LOCATION_CACHE_SLOTS / WAYS) * WAYS];
}

void location_cache_forget_instance(location_cache_t *cache, const char *instance)
{
    slot_t *slots = first_way(cache, instance);
    pthread_mutex_lock(&cache->lock);
    cache->generation++;
    for (size_t i = 0; i < WAYS; i++)
        if (strcmp(slots[i].location.instance, instance) == 0)
            slots[i].put_ms = 0;
    pthread_mutex_unlock(&cache->lock);
}

void location_cache_forget_below(location_cache_t *cache, const char *study, const char *series)
{
    pthread_mutex_lock(&cache->lock);
    cache->generation++;
    for (size_t i = 0; i < LOCATION_CACHE_SLOTS; i++) {
        slot_t *slot = &cache->slots[i];
        if (slot->put_ms && strcmp(slot->location.study, study) == 0 &&
            (!*series || strcmp(slot->location.series, series) == 0))
            slot->put_ms = 0;
    }
    pthread_mutex_unlock(&cache->lock);
}

static bool is_fresh(const location_cache_t *cache, const slot_t *slot)
{
    int64_t now_ms = clock_monotonic_ms();
    bool is_trusted = now_ms < cache->trusted_until_ms;
    return slot->put_ms &&
           now_ms < slot->put_ms + (is_trusted ? LOCATION_CACHE_TRUSTED_MS : LOCATION_CACHE_MS);
}

static bool is_target(const location_t *location, const target_t *target)
{
    return strcmp(location->instance, target->instance) == 0 &&
           strcmp(location->series, target->series) == 0 &&
           strcmp(location->study, target->study) == 0;
}

bool location_cache_get(location_cache_t *cache, const target_t *target, location_t *out_location,
                        uint64_t *out_generation)
{
    const slot_t *slots = first_way(cache, target->instance);
    bool found = false;
    pthread_mutex_lock(&cache->lock);
    for (size_t i = 0; i < WAYS && !found; i++) {
        found = is_fresh(cache, &slots[i]) && is_target(&slots[i].location, target);
        if (found)
            *out_location = slots[i].location;
    }
    *out_generation = cache->generation;
    pthread_mutex_unlock(&cache->lock);
    return found;
}

/* The slot of the same instance, or the one that was put in the longest ago; empty ones are older. */
static slot_t *slot_for(slot_t *slots, const char *instance)
{
    slot_t *oldest = slots;
    for (size_t i = 0; i < WAYS; i++) {
        if (strcmp(slots[i].location.instance, instance) == 0)
            return &slots[i];
        if (slots[i].put_ms < oldest->put_ms)
            oldest = &slots[i];
    }
    return oldest;
}

void location_cache_put(location_cache_t *cache, const location_t *location, uint64_t generation)
{
    slot_t *slots = first_way(cache, location->instance);
    pthread_mutex_lock(&cache->lock);
    if (generation == cache->generation)
        *slot_for(slots, location->instance) = (slot_t){*location, clock_monotonic_ms()};
    pthread_mutex_unlock(&cache->lock);
}

status_t locate_instance_cached(dicomweb_t *dicomweb, const target_t *target,
                                location_t *out_location)
{
    uint64_t generation;
    if (location_cache_get(dicomweb->locations, target, out_location, &generation))
        return STATUS_OK;
    TRY(locate_instance(dicomweb, target, out_location));
    location_cache_put(dicomweb->locations, out_location, generation);
    return STATUS_OK;
}
