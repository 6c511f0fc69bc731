#ifndef ZPACS_DICOMWEB_STORED_H
#define ZPACS_DICOMWEB_STORED_H

#include "dicom/transfer_syntax.h"
#include "dicomweb/instance/inflated.h"
#include "dicomweb/location/location.h"
#include "pack/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A stored dataset, open for reading. */
typedef struct {
    location_t location; /* the one that held: fresh when the pack had gone */
    const dicom_transfer_syntax_t *syntax;
    int fd;        /* of the pack */
    uint64_t size; /* of the pack, when it was opened */
} stored_t;

/*
 * Opens the pack of a location. A pack that compaction took away between locating and opening means
 * one fresh locate (DESIGN: "Delete").
 *
 * Fails: NOT_FOUND (deleted meanwhile), UNAVAILABLE, INTERNAL (the pack is damaged).
 */
status_t stored_open(dicomweb_t *dicomweb, const location_t *location, stored_t *out_stored);
void stored_close(stored_t *stored);

/* The same for a reader of many: what is open already is taken over when it is of the same pack. */
status_t stored_open_next(dicomweb_t *dicomweb, const location_t *location, stored_t *stored);

/*
 * Has the kernel begin to read bytes of the dataset that stored_read() will ask for: so many that are
 * far apart are read side by side.
 */
void stored_will_read(const stored_t *stored, uint64_t offset, uint64_t length);

/* Reads bytes of the dataset as stored. Fails: INVALID (it has no such bytes), INTERNAL (the
 * pack is damaged), UNAVAILABLE. */
status_t stored_read(const stored_t *stored, uint64_t offset, void *out_bytes, size_t length);

/* A whole dataset to parse: mapped as stored, or inflated when its syntax is a deflated one. */
typedef struct {
    const uint8_t *bytes;
    size_t length;
    bool is_inflated;
    pack_view_t view_;
    const inflated_t *inflated_;
    inflated_cache_t *cache_;
} dataset_t;

/* Fails: UNAVAILABLE, and as inflated_get() does. */
status_t dataset_open(dicomweb_t *dicomweb, const stored_t *stored, dataset_t *out_dataset);
void dataset_close(dataset_t *dataset);

/*
 * What will be read of a native dataset is what stands before and behind its pixels: that is read ahead,
 * and nothing of them. Does nothing when pixels must be turned round, since they are read from the map.
 */
void dataset_will_skip_pixels(const dataset_t *dataset, const stored_t *stored);

#endif
