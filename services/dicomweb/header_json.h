#ifndef ZPACS_DICOMWEB_HEADER_JSON_H
#define ZPACS_DICOMWEB_HEADER_JSON_H

#include "base/buffer.h"
#include "dicomweb/location.h"

/*
 * Appends the metadata of one instance as a DICOM JSON object.            PS3.18 10.4.1.1.2, F.2
 *
 * Only the bytes before the pixel data are read; the pixel data becomes a BulkDataURI below base. An
 * instance that cannot be parsed is there with its UIDs alone, so that one bad file does not take a
 * series from the screen.
 *
 * base  of our URLs: "http://host:port/dicom-web"
 * Fails: NOT_FOUND (deleted meanwhile), UNAVAILABLE (its pack cannot be read).
 */
status_t header_json_append(dicomweb_t *dicomweb, const location_t *location, const char *base,
                            buffer_t *out);

#endif
