#ifndef ZPACS_HTTP_MEDIA_H
#define ZPACS_HTTP_MEDIA_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * The grammar that Accept, Content-Type and part headers share: type/subtype with parameters, quoted
 * or not.                                                                 RFC 9110 5.6.6, 8.3.1
 * For this folder only. Each function moves *at behind what it read.
 */
void http_media_skip_space(const char **at); /* spaces and tabs */

/* "type/subtype" in lower case. Fails: INVALID (not of that form, or too long for out). */
status_t http_media_type(const char **at, char *out_type, size_t size);

/*
 * The next ";name=value"; *out_found is false when none follows. The name comes in lower case, a
 * quoted value without quotes and backslashes; a value that is too long for out is INVALID.
 */
status_t http_media_parameter(const char **at, char *out_name, size_t name_size, char *out_value,
                              size_t value_size, bool *out_found);

void http_text_to_lower(char *text);

#endif
