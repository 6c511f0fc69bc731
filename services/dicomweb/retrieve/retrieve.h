#ifndef ZPACS_DICOMWEB_RETRIEVE_H
#define ZPACS_DICOMWEB_RETRIEVE_H

#include "dicomweb/retrieve/body.h"
#include "dicomweb/location/location.h"
#include "dicomweb/form/negotiate.h"

#include <stdbool.h>

/* What the answer with one instance (retrieve.c) and that with many (retrieve_many.c) share. */

#define RETRIEVE_MEDIA_TYPE "application/dicom"

/* Answers with a study or a series. */
void retrieve_many(dicomweb_t *dicomweb, http_request_t *request, const target_t *target,
                   const http_accept_t *accept);

/*
 * As stored, or in Explicit VR Little Endian when that takes no more than other headers (compressed
 * pixels would have to be decoded). false: nothing fits.
 *
 * single_allowed  the answer may be one file that is no part
 */
bool retrieve_choose(const http_accept_t *accept, const location_t *location, bool single_allowed,
                     offer_t *out_offer);

/* Answers that an instance cannot be had. What cannot be recoded (406) can be had as it is stored. */
void retrieve_refuse(http_request_t *request, status_t status);
void retrieve_log_broken(const location_t *location); /* with fail_detail() */

#endif
