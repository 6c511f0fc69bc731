#ifndef ZPACS_HTTP_HTTP_H
#define ZPACS_HTTP_HTTP_H

#include "base/buffer.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * HTTP by CivetWeb: a route table in front, one thread per connection behind. CivetWeb's form
 * parser, document root, CGI and directory listing are never used.
 */
enum {
    HTTP_URI_MAX = 8 * 1024,
    HTTP_HEADERS_MAX = 16 * 1024, /* request line and headers */
    HTTP_PARAMETERS_MAX = 8,      /* path parameters of a route */
    HTTP_QUERY_TERMS_MAX = 128
};

typedef struct http_request http_request_t;
typedef void http_handler_t(void *context, http_request_t *request);

/*
 * path: segments; "{name}" matches one segment and is percent-decoded for http_path_parameter();
 * a last "{name...}" matches the rest. permission and audit name what authorizer and audit will
 * ask for: "view", "upload", "delete"; "query", "retrieve", "store", "delete".
 */
typedef struct {
    const char *method; /* NULL ends the table */
    const char *path;
    const char *permission;
    const char *audit_event;
    http_handler_t *handler;
} http_route_t;

typedef struct {
    const char *address; /* "127.0.0.1:11402" */
    int threads;         /* at least what nginx keeps open */
    const http_route_t *routes;
    void *context;
    int read_timeout_ms; /* of a silent client */
    int pace_bytes; /* of a body so many come within pace_ms, or it breaks off; 0: at any pace */
    int pace_ms;
    /* Asked before the routes; false: it has answered (401, 503 while draining). NULL: all may in. */
    bool (*admit)(void *context, http_request_t *request);
    /* Told of every answered request, for logs and metrics; route is NULL when none matched. */
    void (*finished)(void *context, const http_request_t *request, const http_route_t *route,
                     int status, uint64_t sent_bytes, int64_t duration_us);
    /* Answers what no route matches (404), a wrong method (405, Allow), a bad path (400). All errors
     * are JSON: {"status":404,"error":"NOT_FOUND","detail":"..."} */
} http_server_options_t;

typedef struct http_server http_server_t;

status_t http_server_start(const http_server_options_t *options, http_server_t **out_server);
/*
 * drain: from now on requests hear 503, and each connection ends with its answer; is_drained: none is under way.
 * stop cuts what is still under way: a body that is being read or written breaks off.
 */
void http_server_drain(http_server_t *server);
bool http_server_is_drained(const http_server_t *server);
void http_server_stop(http_server_t **server);
int http_server_port(const http_server_t *server); /* the real one when address said port 0 */

/* ---- the request (all text is borrowed until the handler returns) -------------------------- */
const char *http_method(const http_request_t *request);
const char *http_path(const http_request_t *request);  /* raw, without the query */
const char *http_query(const http_request_t *request); /* raw; "" for none */
const char *http_header(const http_request_t *request, const char *name); /* NULL when absent */
const char *http_path_parameter(const http_request_t *request, const char *name);
const char *http_peer(const http_request_t *request); /* X-Forwarded-For's last hop or the socket */
int64_t http_content_length(const http_request_t *request); /* -1: chunked or none */

/* Next bytes of the body: > 0, 0 at its end, < 0 on a broken connection, or one that is too slow. */
ssize_t http_read(http_request_t *request, void *out_bytes, size_t size);

/* ---- the answer ---------------------------------------------------------------------------- */
/* Before the first byte; value must hold no CR or LF (else the header is dropped). */
void http_add_header(http_request_t *request, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A whole answer. content_type may be NULL when length is 0. HEAD sends no body. */
void http_respond(http_request_t *request, int status, const char *content_type, const void *body,
                  size_t length);

/*
 * An error as JSON with a one-line reason; http_fail maps a status_t and fail_detail(). It may come behind
 * http_begin: it takes the place of an answer of which no byte has left yet, and cuts any other.
 */
void http_respond_error(http_request_t *request, int status, const char *detail);
void http_fail(http_request_t *request, status_t status);

/*
 * A streamed answer: content_length < 0 means chunked. write: false when the client is gone, or the file
 * cannot be read, which has been answered (503, or 500 when it ends too early) or has cut the connection.
 */
void http_begin(http_request_t *request, int status, const char *content_type,
                int64_t content_length);
bool http_write(http_request_t *request, const void *bytes, size_t length);
bool http_write_file(http_request_t *request, int fd, uint64_t offset, uint64_t length);
void http_end(http_request_t *request);

/*
 * A streamed answer that cannot be finished: 500 while no byte of it has left (http_write gathers some
 * 100 KB first, http_write_file 16 KB), else the connection is cut, so that the client sees it. http_fail says why. A handler
 * that returns between http_begin and http_end does the same. Does nothing behind an error that
 * http_write_file has answered with.
 */
void http_abort(http_request_t *request);

#endif
