#ifndef ZPACS_DICOMWEB_GZIP_H
#define ZPACS_DICOMWEB_GZIP_H

#include "base/buffer.h"
#include "http/http.h"

#include <stdbool.h>

/* Does Accept-Encoding take gzip?                                             RFC 9110 12.5.3 */
bool gzip_is_accepted(const char *accept_encoding);

/* Appends bytes as one gzip member, fast rather than small.                         RFC 1952 */
void gzip_append(const void *bytes, size_t length, buffer_t *out);

#endif
