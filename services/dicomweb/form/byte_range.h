#ifndef ZPACS_DICOMWEB_BYTE_RANGE_H
#define ZPACS_DICOMWEB_BYTE_RANGE_H

#include <stdint.h>

typedef enum {
    BYTE_RANGE_WHOLE,         /* no range, one that we do not serve, or malformed: send all (200) */
    BYTE_RANGE_PART,          /* 206 */
    BYTE_RANGE_UNSATISFIABLE, /* 416 */
} byte_range_t;

/*
 * Reads a Range header for a body of total bytes: one range of bytes; several are answered whole, as
 * the standard allows.                                                     RFC 9110 14.2
 */
byte_range_t byte_range_parse(const char *header, uint64_t total, uint64_t *out_first,
                              uint64_t *out_length);

#endif
