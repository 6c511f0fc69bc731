#ifndef ZPACS_PACK_RECOVER_H
#define ZPACS_PACK_RECOVER_H

#include "pack/record.h"

/* What recovery found in one pack. */
typedef struct {
    uint64_t records;
    uint64_t durable_offset; /* end of the last valid record */
    uint64_t torn_bytes;     /* cut off behind it */
    uint64_t last_sequence;  /* of the last valid record; 0: none */
    uint64_t quarantined;    /* damaged ranges that lie between valid records, left in place */
} pack_recovery_t;

/*
 * Recovers a pack whose lock the caller holds, after one fdatasync: cuts the torn tail; a damaged
 * range that is followed by a valid header stays and is noted in <data>/quarantine/<ulid>-<offset>.
 * Fails: INVALID (no pack header: the file goes to quarantine whole), UNAVAILABLE (I/O error).
 */
status_t pack_recover(int fd, const char *data_folder, pack_recovery_t *out_found);

#endif
