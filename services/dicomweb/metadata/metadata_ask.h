#ifndef ZPACS_DICOMWEB_METADATA_ASK_H
#define ZPACS_DICOMWEB_METADATA_ASK_H

#include "crypto/crypto.h"
#include "dicomweb/location/location.h"

#include <stdbool.h>

/* The forms of metadata, the best first.                                        PS3.18 table 8.7.3-6 */
typedef enum { METADATA_JSON, METADATA_PLAIN_JSON, METADATA_XML, METADATA_FORMS } metadata_form_t;

/* One request for metadata, understood: what the files metadata*.c share. */
typedef struct {
    dicomweb_t *dicomweb;
    http_request_t *request;
    target_t target;
    const char *base; /* of our URLs */
    metadata_form_t form;
    bool gzip; /* JSON only */
} metadata_ask_t;

/* fingerprint: of the records that the answer is made of. */

/* Answers 304 and returns true if the client has this version. */
bool metadata_answer_unchanged(const metadata_ask_t *ask, const uint8_t fingerprint[SHA256_SIZE]);

/* Puts ETag, Cache-Control and Vary on the answer that comes now. */
void metadata_add_validators(const metadata_ask_t *ask, const uint8_t fingerprint[SHA256_SIZE]);

/*
 * Answers with a study or a series: metadata_many.c.
 *
 * Fails, with nothing answered: as locate_all() and metadata_build_next() do; CONFLICT: once more.
 */
status_t metadata_many(const metadata_ask_t *ask);

#endif
