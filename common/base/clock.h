#ifndef ZPACS_BASE_CLOCK_H
#define ZPACS_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_monotonic_ms(void); /* for deadlines and intervals */
int64_t clock_wall_us(void);      /* microseconds since 1970-01-01 UTC, for records */

/* "2026-11-24T18:19:55.123456Z"; out_text holds 28 bytes. */
void clock_format(int64_t wall_us, char out_text[28]);

#endif
