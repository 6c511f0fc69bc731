#ifndef ZPACS_HTTP_QUERY_H
#define ZPACS_HTTP_QUERY_H

#include "base/status.h"

#include <stddef.h>

/* name=value pairs of a query string, percent-decoded ('+' stays '+').             RFC 3986 3.4 */
typedef struct {
    char *name;
    char *value; /* "" when there was no '=' */
} http_query_term_t;

typedef struct {
    http_query_term_t *terms;
    size_t count;
} http_query_t;

/* Fails: INVALID (broken %-sequence, NUL, not UTF-8), TOO_LARGE (over HTTP_QUERY_TERMS_MAX). */
status_t http_query_parse(const char *query, http_query_t *out_query);
void http_query_destroy(http_query_t *query);

#endif
