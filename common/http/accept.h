#ifndef ZPACS_HTTP_ACCEPT_H
#define ZPACS_HTTP_ACCEPT_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * What a client takes, from the Accept header or the accept query parameter, the best first.
 *                                                                       PS3.18 8.7.5, RFC 9110 12.5.1
 */
enum { HTTP_ACCEPT_MAX = 32 };

typedef struct {
    char type[96];      /* lower case: "multipart/related", "application/dicom+json", star/star */
    char part_type[96]; /* the type parameter of multipart/related; "" when absent */
    char transfer_syntax[68]; /* the transfer-syntax parameter: UID, "*" or "" */
    char charset[32];
    int quality_millis; /* 1000: q=1 */
} http_media_range_t;

typedef struct {
    http_media_range_t ranges[HTTP_ACCEPT_MAX]; /* by falling quality, in the order written */
    size_t count; /* an absent or empty header: one range, star/star */
} http_accept_t;

/* Fails: INVALID (malformed), TOO_LARGE (over HTTP_ACCEPT_MAX ranges). */
status_t http_accept_parse(const char *header, http_accept_t *out_accept);

/* Does the range take this plain media type (no parameters compared)? */
bool http_media_range_takes(const http_media_range_t *range, const char *media_type);

#endif
