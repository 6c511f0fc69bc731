#ifndef ZPACS_DICOMWEB_INFLATED_H
#define ZPACS_DICOMWEB_INFLATED_H

#include "base/status.h"
#include "base/ulid.h"

#include <stddef.h>
#include <stdint.h>

/*
 * Deflated datasets, inflated once for all who read them at the same time. The bytes of all of them
 * have one limit; whoever would go beyond it waits until others are given back. Small ones stay for
 * the next reader (an eighth of the limit at most), the least recently used goes first.
 */
typedef struct inflated_cache inflated_cache_t;

typedef struct {
    const uint8_t *bytes;
    size_t length;
} inflated_t;

inflated_cache_t *inflated_cache_create(size_t bytes_max, int wait_ms);
void inflated_cache_destroy(inflated_cache_t **cache); /* all must have been given back */

/*
 * The dataset of the record at offset in pack, of which deflated has the stored bytes (they are
 * read before this returns, not later).
 *
 * Fails: INVALID (no deflate stream), TOO_LARGE (over DICOM_INFLATE_MAX, or the whole limit), BUSY
 * (too much is inflated already, and was for wait_ms).
 */
status_t inflated_get(inflated_cache_t *cache, const ulid_t *pack, uint64_t offset,
                      const uint8_t *deflated, size_t length, const inflated_t **out_inflated);
void inflated_release(inflated_cache_t *cache, const inflated_t **inflated); /* NULL is fine */

#endif
