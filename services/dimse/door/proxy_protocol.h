#ifndef ZPACS_DIMSE_PROXY_PROTOCOL_H
#define ZPACS_DIMSE_PROXY_PROTOCOL_H

#include "dimse/door/address.h"

#include <stddef.h>
#include <stdint.h>

/* haproxy.org, "The PROXY protocol", versions 1 (text) and 2 (binary). */
enum { PROXY_HEADER_MAX = 16 + 512 }; /* v1: 107 bytes; v2: we take up to 512 behind its 16 */

typedef struct {
    size_t length;   /* bytes of the header */
    bool has_source; /* false: UNKNOWN or LOCAL, the connection speaks for itself */
    address_t source;
} proxy_header_t;

/*
 * Reads the header at the start of a connection.
 * Fails: BUSY (could still become one: more bytes are needed), INVALID (no such header).
 */
status_t proxy_header_parse(const uint8_t *bytes, size_t length, proxy_header_t *out_header);

#endif
