#ifndef ZPACS_DICOMWEB_PARTS_H
#define ZPACS_DICOMWEB_PARTS_H

#include "base/buffer.h"
#include "dicomweb/context.h"
#include "http/http.h"
#include "dicomweb/instance/stored.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Answers of several parts.                                              RFC 2387, PS3.18 8.6.1.2
 *
 *     --B CRLF Content-Type: … CRLF CRLF bytes  (CRLF --B CRLF … bytes)*  CRLF --B-- CRLF
 */

/* Appends the Content-Type of the whole answer. */
void parts_append_type(buffer_t *out, const dicomweb_t *dicomweb, const char *media_type);

/* Appends what stands before a part's bytes; transfer_syntax and location may be NULL. */
void parts_append_head(buffer_t *out, const dicomweb_t *dicomweb, bool is_first,
                       const char *media_type, const char *transfer_syntax, const char *location);
void parts_append_end(buffer_t *out, const dicomweb_t *dicomweb);

/*
 * Bytes to be sent: of a file, or of memory; words of `word` bytes are turned round when it is over 1
 * (big endian pixels leave as little endian, PS3.18 8.7.3.3.1).
 */
typedef struct {
    const uint8_t *memory; /* NULL: of fd at offset */
    int fd;
    uint64_t offset, length;
    unsigned word; /* memory only; 0 or 1: as is */
} bytes_t;

/* Sends length bytes from the first on. false: the client is gone or the file cannot be read. */
bool bytes_send(http_request_t *request, const bytes_t *bytes, uint64_t first, uint64_t length);

/*
 * Begins an answer of one part, whole or what the Range header asks for.              RFC 9110 14
 *
 * length  in: of all; out: of what is to be sent, from *out_first on
 * false   there is no such part, and that has been answered
 */
bool parts_begin_range(http_request_t *request, const char *media_type, uint64_t *out_first,
                       uint64_t *length);

#endif
