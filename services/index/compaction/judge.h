#ifndef ZPACS_INDEX_JUDGE_H
#define ZPACS_INDEX_JUDGE_H

#include "index/index.h"

/*
 * Does this record, at this place, have to be kept? Call it with the index locked.
 *
 *   an event                              unless it lies elsewhere, too
 *   served, or aside in a conflict        unless it lies elsewhere, too
 *   a duplicate of what is served         no
 *   buried (deleted, or rejected)         until it has been so for the time of an undelete
 *   anything else                         yes: nobody has said that it may go
 *
 * "Elsewhere" is looked up, not believed: the record there has the same bytes.
 *
 * dead_before_us  what was buried before this may go
 * Fails: UNAVAILABLE (disk, database).
 */
status_t judge(index_t *index, const pack_record_t *record, int64_t dead_before_us,
               bool *out_lives);

/* The offsets, ascending, of the records of a pack that have to be kept. */
typedef struct {
    uint64_t *offsets; /* freed by the caller */
    size_t count, capacity, dead;
} living_t;

/*
 * Judges a sealed pack, a portion of its records at a time with the index locked: call it unlocked.
 * Fails: NOT_FOUND (it is gone), INVALID (some of it is no record, or was not read), EXPIRED
 * (stopping, or another replica has taken over), UNAVAILABLE.
 */
status_t judge_pack(index_t *index, const ulid_t *pack, int64_t dead_before_us, living_t *living);
status_t judge_size(index_t *index, const ulid_t *pack, uint64_t *out_size);

/* With the index locked: is it this process that may compact, and now? */
bool judge_may_work(index_t *index);

#endif
