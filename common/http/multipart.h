#ifndef ZPACS_HTTP_MULTIPART_H
#define ZPACS_HTTP_MULTIPART_H

#include "base/buffer.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * A streaming reader of multipart/related bodies with O(1) memory.        RFC 2046 5.1.1, RFC 2387
 *
 * Feeding a body whole or byte by byte gives the same events. A body may begin with CRLF or a
 * preamble before the first boundary, and have an epilogue behind the last.
 */
enum {
    MULTIPART_BOUNDARY_MAX = 70,
    MULTIPART_HEADERS_MAX = 8 * 1024, /* of one part */
    MULTIPART_PARTS_MAX = 100 * 1000
};

/* Content-Type: multipart/related; type=...; boundary=...  Parameters in any order, quoted or not. */
typedef struct {
    char type[96];
    char boundary[MULTIPART_BOUNDARY_MAX + 1];
} multipart_type_t;

/* Fails: UNSUPPORTED (not multipart/related), INVALID (no or bad boundary). */
status_t multipart_type_parse(const char *content_type, multipart_type_t *out_type);

typedef struct {
    /* A part begins; headers is NUL-terminated, lines joined by CRLF. */
    status_t (*begin)(void *context, const char *headers);
    status_t (*data)(void *context, const void *bytes, size_t length);
    status_t (*end)(void *context);
} multipart_events_t;

typedef struct multipart multipart_t;

multipart_t *multipart_create(const char *boundary, const multipart_events_t *events,
                              void *context);
void multipart_destroy(multipart_t **multipart);

/* Fails: INVALID (malformed), TOO_LARGE (a limit), and what an event returned. */
status_t multipart_feed(multipart_t *multipart, const void *bytes, size_t length);

/* The body is over. Fails: INVALID (the closing boundary has not come, or there was no part). */
status_t multipart_finish(multipart_t *multipart);

/* Value of a header in a part's headers, or NULL; copied into out (cut at size - 1). */
bool multipart_header(const char *headers, const char *name, char *out_value, size_t size);

#endif
