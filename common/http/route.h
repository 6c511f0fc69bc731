#ifndef ZPACS_HTTP_ROUTE_H
#define ZPACS_HTTP_ROUTE_H

#include "base/status.h"
#include "http/http.h"

/*
 * A request's path cut into decoded segments, and the route that takes it.           RFC 3986 3.3
 * For http.c only.
 */
enum { HTTP_SEGMENTS_MAX = 64 };

typedef struct {
    char text[HTTP_URI_MAX + 1]; /* the decoded segments, each with a NUL behind it */
    const char *segments[HTTP_SEGMENTS_MAX];
    size_t count;
} http_path_t;

typedef struct {
    const char *name; /* points into the route's template */
    size_t name_length;
    const char *value;
} http_parameter_t;

typedef struct {
    const http_route_t *route; /* NULL: no route */
    http_parameter_t parameters[HTTP_PARAMETERS_MAX];
    size_t count;
    char rest[HTTP_URI_MAX + 1]; /* value of "{name...}" */
    char allow[64];              /* methods of the routes that take this path: "GET, HEAD" */
} http_match_t;

/*
 * Refuses what two readers might read differently: dot segments, empty segments ("//"), control
 * bytes, NUL, '/' and '\' in an encoded form, and what is not UTF-8.
 * Fails: INVALID, TOO_LARGE.
 */
status_t http_path_split(const char *raw, http_path_t *out_path);

/*
 * Finds the first route of this method; GET routes take HEAD too. out_match->route is NULL when
 * there is none; then allow says which methods this path has ("" for an unknown path).
 */
void http_route_find(const http_route_t *routes, const char *method, const http_path_t *path,
                     http_match_t *out_match);

/* Decodes %-sequences of length bytes into out (at least length + 1 bytes); '+' stays.
 * Fails: INVALID (broken sequence, NUL). */
status_t http_percent_decode(const char *text, size_t length, char *out_text, size_t *out_length);

#endif
