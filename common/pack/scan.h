#ifndef ZPACS_PACK_SCAN_H
#define ZPACS_PACK_SCAN_H

#include "pack/format.h"

/* Looking for records in a pack whose bytes cannot be trusted. Used inside common/pack only. */

/* The next valid record at or after from that ends within size. Fails: NOT_FOUND, UNAVAILABLE. */
status_t pack_scan_next(int fd, const pack_identity_t *identity, uint64_t from, uint64_t size,
                        pack_record_t *out_record);

/*
 * Reads all of a record: CRC of the provenance, digest of the dataset, digest table.
 * Fails: INVALID (which part is damaged), UNAVAILABLE.
 */
status_t pack_scan_check(int fd, const pack_record_t *record);

#endif
