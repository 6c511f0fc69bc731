#ifndef ZPACS_HTTP_REQUEST_H
#define ZPACS_HTTP_REQUEST_H

#include "http/http.h"
#include "http/route.h"

#include <civetweb.h>

/* One request and its answer: what http.c and answer.c share. Nobody else includes this. */
enum {
    HTTP_OUTPUT_SIZE = 256 * 1024, /* of the buffer each thread gathers its answers in */
    HTTP_CHUNK_HEAD = 10,          /* "0003ffe8\r\n" */
    HTTP_CHUNK_TAIL = 2,           /* "\r\n" */
    HTTP_DISCARD_MAX = 1024 * 1024 /* of an unread body that is read over to keep a connection */
};

struct http_request {
    struct mg_connection *connection;
    const _Atomic bool *stopping; /* of the server */
    int silence_ms;               /* of a peer that takes nothing, before it is given up */
    const struct mg_request_info *info;
    const char *path;
    http_path_t segments;
    http_match_t match;

    /* the body */
    bool has_body, chunked, expects_continue, body_over;
    bool is_cut;    /* nothing more of it is read */
    int64_t length; /* -1: chunked or none */
    uint64_t read_bytes;
    bool close; /* the connection ends with this answer */

    /* the answer:  begin -> write ... -> end;  broken: nothing more can be sent;
     * replaced: of the first one no byte had left when it broke off, so an error came instead */
    bool begun, ended, broken, replaced, is_head, chunked_answer;
    int status;
    uint64_t promised; /* content length that is still to come */
    uint64_t sent_bytes;
    buffer_t headers;
    bool has_cache_control, has_content_options;
    uint8_t *output; /* HTTP_OUTPUT_SIZE bytes of this thread */
    size_t output_length;
    size_t chunk_start; /* where the head of the chunk being gathered lies in output */
};

#endif
