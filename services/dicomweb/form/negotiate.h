#ifndef ZPACS_DICOMWEB_NEGOTIATE_H
#define ZPACS_DICOMWEB_NEGOTIATE_H

#include "http/accept.h"
#include "http/http.h"

#include <stdbool.h>
#include <stddef.h>

/* One form that an answer could take. */
typedef struct {
    const char *media_type;      /* of the body, or of each part */
    const char *transfer_syntax; /* UID as it would be sent; NULL: this media type has none */
    bool multipart;              /* wrapped into multipart/related; type="media_type" */
} offer_t;

/*
 * Chooses what to send.                                                            PS3.18 8.7.5-8
 *
 * Goes through what the client takes, the best first, and through the offers in their order. A range
 * without transfer-syntax means the default of its media type (PS3.18 8.7.3, 8.7.8.2), of a video the
 * syntax it is stored in; a range of any type means any syntax.
 *
 * Returns the index of the offer, or -1: nothing fits (406).
 */
int negotiate(const http_accept_t *accept, const offer_t *offers, size_t count);

/* The default transfer syntax of a media type (PS3.18 tables 8.7.3-2 to 8.7.3-5), or NULL. */
const char *negotiate_default_syntax(const char *media_type);

/*
 * What the client of a request takes: the query parameter `accept` when there is one (PS3.18
 * 8.3.3.1), else the Accept header.
 */
status_t negotiate_read(const http_request_t *request, http_accept_t *out_accept);

/* Answers 406 with a reason. */
void negotiate_refuse(http_request_t *request, const char *what);

#endif
