#ifndef ZPACS_DICOMWEB_XML_H
#define ZPACS_DICOMWEB_XML_H

#include "base/buffer.h"
#include "base/status.h"

#include <stddef.h>

#define XML_MEDIA_TYPE "application/dicom+xml"

/*
 * Appends one DICOM JSON object as a Native DICOM Model document.        PS3.19 A.1, PS3.18 F.2
 *
 * Fails: INTERNAL (the object is not DICOM JSON).
 */
status_t xml_append_model(const char *json, size_t length, buffer_t *out);

#endif
