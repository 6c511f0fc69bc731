#ifndef ZPACS_DICOM_INSTANCE_H
#define ZPACS_DICOM_INSTANCE_H

#include "base/status.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What a store (C-STORE, STOW-RS, import) must know of a dataset before it says yes: one walk over
 * the tokens that also proves the dataset well formed up to its end.
 */
typedef struct {
    uid_text_t sop_class_uid, sop_instance_uid, study_instance_uid, series_instance_uid;
    /* (7FE0,0010), (7FE0,0008) or (7FE0,0009) at top level; 0 when there is none: */
    uint64_t pixel_data_offset;  /* of the element's tag from the start of the dataset (of the
                                    inflated one for a deflated syntax) */
    uint64_t pixel_value_offset; /* of its value: first pixel, or first item when encapsulated */
    uint64_t pixel_value_length;
    /* A prefix of a dataset that reaches into the pixel data is enough for all of the above but
       pixel_value_length, which counts what is there; elements behind the pixels are not seen. */
    bool truncated; /* the dataset ends inside its last element: accepted when that is pixel data */
} dicom_instance_t;

/*
 * A deflated dataset is inflated first (at most DICOM_INFLATE_MAX bytes, DICOM_INFLATE_RATIO_MAX
 * times its length).
 *
 * Fails: INVALID (not parseable; ends inside something that is not pixel data; missing or malformed
 * SOP Class, SOP Instance, Study or Series Instance UID; letters, '-' and '_' are taken:
 * de-identifiers write hashes), TOO_LARGE (nesting, deflate ratio).
 */
status_t dicom_instance_scan(const uint8_t *dataset, size_t length, const char *transfer_syntax_uid,
                             dicom_instance_t *out_instance);

#endif
