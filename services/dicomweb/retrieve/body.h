#ifndef ZPACS_DICOMWEB_BODY_H
#define ZPACS_DICOMWEB_BODY_H

#include "dicom/recode.h"
#include "dicomweb/form/parts.h"
#include "dicomweb/instance/stored.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The dataset of an answer, in the transfer syntax it goes out in: as it is stored, or, when that is
 * native, in Explicit VR Little Endian (PS3.18 table 8.7.3-2).
 */
typedef struct {
    const stored_t *stored;
    const char *transfer_syntax; /* it goes out in */
    uint64_t length;
    bool is_recoded;
    dataset_t dataset_;
    dicom_recoded_t recoded_;
} body_t;

/*
 * stored, transfer_syntax  borrowed while the body is open; the syntax of stored, or
 *                          Explicit VR Little Endian when dicom_recode_takes() that of stored
 *
 * Fails: UNSUPPORTED, INVALID, TOO_LARGE (as dicom_recode() and dicom_inflate(): it can be had as
 * stored only), UNAVAILABLE (its pack cannot be read).
 */
status_t body_open(dicomweb_t *dicomweb, const stored_t *stored, const char *transfer_syntax,
                   body_t *out_body);
void body_close(body_t *body);

/* What makes a file of it: preamble and file meta group, before the dataset.             PS3.10 7.1 */
void body_append_head(const body_t *body, buffer_t *out);

/* false: the client is gone or the pack cannot be read. */
bool body_send(http_request_t *request, const body_t *body);

#endif
