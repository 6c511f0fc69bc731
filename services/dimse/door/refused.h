#ifndef ZPACS_DIMSE_REFUSED_H
#define ZPACS_DIMSE_REFUSED_H

#include "base/buffer.h"

#include <stdint.h>

/*
 * Whom we refused, for the operator: one row for each peer, calling and called AE title and reason,
 * with how often and when. What strangers do must not grow it: the row least recently seen makes
 * room for a new one. It lives as long as the process; the log has every single refusal.
 * For any thread.
 */
enum { REFUSED_ROWS_MAX = 256 };

typedef struct refused refused_t;

/* Text is cut to what a row holds; detail is not part of what makes a row: the newest one stays. */
typedef struct {
    const char *peer, *calling, *called, *reason, *detail;
} refused_entry_t;

refused_t *refused_create(void);
void refused_destroy(refused_t **refused);

void refused_add(refused_t *refused, const refused_entry_t *entry, int64_t now_us);

/*
 * {"last_hour":N,"dropped":N,"refused":[{"peer":...,"calling":...,"called":...,"reason":...,
 * "detail":...,"count":N,"first":TIME,"last":TIME}]}, most recently seen first. last_hour counts
 * refusals, also those whose row is gone; it is exact to the minute. dropped counts rows.
 */
void refused_append_json(refused_t *refused, int64_t now_us, buffer_t *out_json);

#endif
