#ifndef ZPACS_DICOMWEB_HEADER_JSON_H
#define ZPACS_DICOMWEB_HEADER_JSON_H

#include "base/buffer.h"
#include "dicom/json.h"
#include "dicomweb/instance/stored.h"

/*
 * Appends the metadata of one instance as a DICOM JSON object.            PS3.18 10.4.1.1.2, F.2
 *
 * Only the bytes before the pixel data are read; the pixel data becomes a BulkDataURI below base. An
 * instance that cannot be parsed is there with its UIDs alone, so that one bad file does not take a
 * series from the screen.
 *
 * stored  open
 * base    of our URLs: "http://host:port/dicom-web"
 * repeat  of the instance before; may be NULL
 * Fails: UNAVAILABLE, INTERNAL (its pack cannot be read), BUSY (see dataset_open()).
 */
status_t header_json_append(dicomweb_t *dicomweb, const stored_t *stored, const char *base,
                            dicom_json_repeat_t *repeat, buffer_t *out);

/* How many of the first bytes will be read for it; 0: that shows when they are parsed. */
uint64_t header_json_size(const stored_t *stored);

#endif
