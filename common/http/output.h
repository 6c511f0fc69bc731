#ifndef ZPACS_HTTP_OUTPUT_H
#define ZPACS_HTTP_OUTPUT_H

#include "http/request.h"

/*
 * The bytes of an answer on their way to the socket. Small ones are gathered in the thread's buffer;
 * large ones of the caller go from where they are, and those of a file from the kernel's page cache.
 *
 *     output   │ head of the answer │ chunk: │ size CRLF │ data … │ CRLF │      or, not chunked,
 *              │ head of the answer │ data …                               │
 *                                            ↑ chunk_start
 *
 * All of it sets request->broken when the connection takes no more, and does nothing then.
 */
size_t output_room(const http_request_t *request);
void output_put(http_request_t *request, const void *bytes, size_t length);
void output_flush(http_request_t *request);
/* Behind what is gathered, without a copy; not in a chunked answer. */
void output_send(http_request_t *request, const void *bytes, size_t length);

/* From now on what is put belongs to chunks; the last one, empty, is put by output_end_chunks(). */
void output_begin_chunks(http_request_t *request);
void output_end_chunks(http_request_t *request);

/*
 * Bytes of a file. Its first ones are read before anything leaves, so that an answer about a file that
 * cannot be read can still be taken back.
 *
 * Fails: UNAVAILABLE (cannot be read), INTERNAL (it ends before).
 */
status_t output_file(http_request_t *request, int fd, uint64_t offset, uint64_t length);

#endif
