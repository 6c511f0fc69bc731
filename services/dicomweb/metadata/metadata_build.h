#ifndef ZPACS_DICOMWEB_METADATA_BUILD_H
#define ZPACS_DICOMWEB_METADATA_BUILD_H

#include "base/buffer.h"
#include "crypto/crypto.h"
#include "dicom/json.h"
#include "dicomweb/instance/stored.h"

/*
 * Makes metadata out of records: the JSON objects of a run of them, joined by commas, a batch at a
 * time. Reads the headers in the packs and nothing of the pixels; those of the batch that comes next
 * are asked of the kernel beforehand, in the order in which they lie.
 */
enum {
    METADATA_BATCH = 64,
    METADATA_PACKS = 8 /* open at a time: as many as associations wrote side by side */
};

/* Where the object of one record lies in the JSON. */
typedef struct {
    ulid_t pack;
    uint64_t record_offset;
    size_t offset, length;
} metadata_slice_t;

typedef struct {
    dicomweb_t *dicomweb;
    const char *base; /* of our URLs; borrowed */
    const location_t *locations;
    size_t count, next;              /* next: of the first that is not made yet */
    size_t advised;                  /* of the first that the kernel has not been asked for */
    stored_t stored[METADATA_PACKS]; /* each open in a pack of its own */
    size_t oldest;                   /* of those */
    dicom_json_repeat_t *repeat;
} metadata_build_t;

/* locations are borrowed, and may be of several series. */
void metadata_build_begin(metadata_build_t *build, dicomweb_t *dicomweb,
                          const location_t *locations, size_t count, const char *base);
void metadata_build_end(metadata_build_t *build);

/*
 * Appends the objects of at most METADATA_BATCH records to json, with a comma before each but the first in
 * the buffer, and tells where they lie; *out_count is 0 when all are made.
 *
 * out_slices  of METADATA_BATCH, or of as many as are left
 *
 * Of exactly these records: what has been moved or deleted since it was located is CONFLICT, and the
 * index must be asked anew. Fails also: as header_json_append() does.
 */
status_t metadata_build_next(metadata_build_t *build, buffer_t *json, metadata_slice_t *out_slices,
                             size_t *out_count);

/* Says which records, in which order, metadata was made of: the same anywhere and at any time. */
void metadata_fingerprint(const location_t *locations, size_t count,
                          uint8_t out_fingerprint[SHA256_SIZE]);

#endif
