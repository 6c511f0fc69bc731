#ifndef ZPACS_DICOMWEB_LOCATION_CACHE_H
#define ZPACS_DICOMWEB_LOCATION_CACHE_H

#include "dicomweb/location/location.h"

#include <stdint.h>

/* Locations that were asked for just now: a fixed number of slots, one mutex; for all threads. */
enum {
    LOCATION_CACHE_MS = 1000,
    LOCATION_CACHE_TRUSTED_MS = 30 * 1000,
    LOCATION_CACHE_SLOTS = 4096
};

typedef struct location_cache location_cache_t;
location_cache_t *location_cache_create(void);
void location_cache_destroy(location_cache_t **cache);
void location_cache_clear(location_cache_t *cache); /* something was deleted */
void location_cache_forget_instance(location_cache_t *cache, const char *instance);
/* series: "" for all of the study. */
void location_cache_forget_below(location_cache_t *cache, const char *study, const char *series);
/* Until then (clock_monotonic_ms()) what has changed has been forgotten; 0: not any more. */
void location_cache_trust(location_cache_t *cache, int64_t until_ms);

/*
 * Found: it was put in at most LOCATION_CACHE_MS ago (LOCATION_CACHE_TRUSTED_MS while changes are heard
 * of). Else out_generation goes to location_cache_put() with what the index says: dropped when
 * something was forgotten since.
 */
bool location_cache_get(location_cache_t *cache, const target_t *target, location_t *out_location,
                        uint64_t *out_generation);
void location_cache_put(location_cache_t *cache, const location_t *location, uint64_t generation);

/* As locate_instance(), or as it was at most LOCATION_CACHE_MS ago (LOCATION_CACHE_TRUSTED_MS while
 * changes are heard of): for the frames of a cine loop. */
status_t locate_instance_cached(dicomweb_t *dicomweb, const target_t *target,
                                location_t *out_location);

#endif
