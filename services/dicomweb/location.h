#ifndef ZPACS_DICOMWEB_LOCATION_H
#define ZPACS_DICOMWEB_LOCATION_H

#include "base/status.h"
#include "base/text.h"
#include "base/ulid.h"
#include "dicomweb/dicomweb.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a path names: a study, a series ("instance" NULL) or an instance. Borrows from the request. */
typedef struct {
    const char *study, *series, *instance; /* series and instance may be NULL */
} target_t;

/* Fails: INVALID (a path parameter is no UID). */
status_t target_read(const http_request_t *request, target_t *out_target);

/* Where one instance lies; of index.v1.Location, without its allocations. */
typedef struct {
    uid_text_t study, series, instance, sop_class, transfer_syntax;
    ulid_t pack;
    char source_ae_title[AE_TITLE_LENGTH_MAX + 1];
    uint64_t record_offset, dataset_offset, dataset_length;
    uint64_t pixel_data_offset, pixel_value_offset, pixel_value_length; /* see pack_record_t */
} location_t;

typedef struct {
    location_t *items; /* by series and instance number */
    size_t count;
    uint64_t version; /* of the target: changes with anything below it */
    char *next;       /* page: of the next one; NULL: that was all */
    bool is_known;    /* the version is known_version still: items may be left out */
} locations_t;

enum { LOCATIONS_MAX = 200 * 1000 }; /* of one answer that is not streamed page by page */

/*
 * Asks the index for one page of what a target holds.
 *
 * after          NULL: the first page; else `next` of the page before
 * known_version  0, or the version whose locations the caller still has
 * Fails: NOT_FOUND (no such target for who is asking), UNAVAILABLE (no index).
 */
status_t locate_page(dicomweb_t *dicomweb, const target_t *target, const char *after,
                     uint64_t known_version, locations_t *out_page);

/* All pages. Fails also: TOO_LARGE. */
status_t locate_all(dicomweb_t *dicomweb, const target_t *target, uint64_t known_version,
                    locations_t *out_all);

/* One instance, fresh from the index. */
status_t locate_instance(dicomweb_t *dicomweb, const target_t *target, location_t *out_location);

/* As locate_instance(), or as it was at most LOCATION_CACHE_MS ago (LOCATION_CACHE_TRUSTED_MS while
 * changes are heard of): for the frames of a cine loop. */
status_t locate_instance_cached(dicomweb_t *dicomweb, const target_t *target,
                                location_t *out_location);

void locations_destroy(locations_t *locations);

/* ---- the cache of locations: a fixed number of slots, one mutex ---------------------------- */
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

#endif
