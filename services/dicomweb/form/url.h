#ifndef ZPACS_DICOMWEB_URL_H
#define ZPACS_DICOMWEB_URL_H

#include "base/buffer.h"
#include "http/http.h"

#include <stdbool.h>

#define URL_DICOMWEB "/dicom-web"

enum { URL_HOST_MAX = 255 };

/*
 * Appends the base of all our URLs, as the client sees it: "http://127.0.0.1:30080/dicom-web".
 *
 * public_url  from the configuration: "https://pacs.example.org"; "" or NULL: built from what the
 *             client asked for
 * scheme      of X-Forwarded-Proto; NULL: http
 * host        the Host header with its port; NULL or with bytes that no host has: the base is only
 *             the path, which is a valid relative reference (RFC 3986 4.2)
 */
void url_append_base(buffer_t *out, const char *public_url, const char *scheme, const char *host);

/* The same from a request's headers. */
void url_append_request_base(buffer_t *out, const char *public_url, const http_request_t *request);

/* Appends "/studies/{study}[/series/{series}[/instances/{instance}]]"; NULL or "" ends it. */
void url_append_target(buffer_t *out, const char *study, const char *series, const char *instance);

#endif
