#ifndef ZPACS_DICOMWEB_LOCATION_H
#define ZPACS_DICOMWEB_LOCATION_H

#include "base/status.h"
#include "base/text.h"
#include "base/ulid.h"
#include "dicomweb/context.h"
#include "http/http.h"

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

void locations_destroy(locations_t *locations);

#endif
