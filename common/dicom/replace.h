#ifndef ZPACS_DICOM_REPLACE_H
#define ZPACS_DICOM_REPLACE_H

#include "base/status.h"
#include "base/text.h"

#include <stdint.h>

/* An element to be written in the place of another: all bytes around it stay as they are. */
enum { DICOM_REPLACED_MAX = 8 + UID_LENGTH_MAX + 1 };

typedef struct {
    size_t offset, old_length; /* of the element in the dataset, from its tag on */
    size_t length;             /* of the new one */
    uint8_t bytes[DICOM_REPLACED_MAX];
} dicom_replaced_t;

/*
 * Finds a top-level element and makes the same one, in the same encoding, with another UID.
 *
 * Fails: UNSUPPORTED (a deflated dataset), INVALID (it has no such element, or cannot be read).
 */
status_t dicom_replace_uid(const uint8_t *dataset, size_t length, const char *transfer_syntax_uid,
                           uint32_t tag, const char *uid, dicom_replaced_t *out_replaced);

#endif
