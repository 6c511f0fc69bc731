#ifndef ZPACS_INDEX_PROGRESS_H
#define ZPACS_INDEX_PROGRESS_H

#include "base/status.h"
#include "base/ulid.h"

#include <stdint.h>

/*
 * Which record is being parsed right now, in a small mapped file: writing it costs nothing, and
 * what is written survives the death of this process (not that of the machine, which no record
 * brings about). At the next start it tells which record we died of.
 */
typedef struct {
    struct progress_page *page;
} progress_t;

/* out_pack is "" when the last run did not die over a record. */
status_t progress_open(const char *path, progress_t *out_progress, ulid_t *out_pack,
                       uint64_t *out_offset);
void progress_enter(progress_t *progress, const ulid_t *pack, uint64_t offset);
void progress_leave(progress_t *progress);
void progress_close(progress_t *progress);

#endif
