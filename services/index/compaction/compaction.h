#ifndef ZPACS_INDEX_COMPACTION_H
#define ZPACS_INDEX_COMPACTION_H

#include "index/index.h"

/*
 * Makes deleted bytes go, and many small packs one. A thread of its own; the index is locked only
 * for short steps, so that everything else goes on. Of several replicas the one that numbers
 * the change feed does it; should two, nothing is lost: records of one origin are one record.
 *
 *     compaction_choose()   packs with dead records whose time is over, or much waste, or many of a
 *                           size
 *     compaction_copy()     what lives of them into a new pack: sealed and durable
 *     compaction_take_in()  the new pack is read, rows move there; the old ones are retired
 *     compaction_remove()   packs whose grace is over: condemned, judged once more, unlinked
 *
 * After a crash between any two of them the next round finds what there is to do in the tables, or,
 * when these were lost, anew.                                        docs/pack-format.md: Compaction
 */
enum {
    COMPACTION_PACKS_MAX = 64, /* in one round */
    COMPACTION_SMALL_COUNT = 16
};

typedef struct {
    ulid_t pack;
    bool is_done; /* nothing of it is needed here any more */
} compaction_pack_t;

typedef struct {
    compaction_pack_t packs[COMPACTION_PACKS_MAX];
    size_t count;
    bool is_merge; /* of small packs: they are copied even if all of them lives */
    ulid_t made;   /* the new pack; "": nothing lived */
    uint64_t copied_records, copied_bytes;
} compaction_job_t;

status_t compaction_choose(index_t *index, compaction_job_t *out_job);
status_t compaction_copy(index_t *index, compaction_job_t *job);
status_t compaction_take_in(index_t *index, const compaction_job_t *job);
status_t compaction_remove(index_t *index);

/* A pack that could not be compacted, or has damage, is left alone for so long. One that is held for
 * longer than any can be is so by a clock that was wrong: it is free. now, latest: parameters. */
#define COMPACTION_HELD_US (INT64_C(24) * 3600 * 1000000)
#define COMPACTION_IS_FREE(held_until, now, latest)                                                \
    "(" held_until " <= " now " OR " held_until " > " latest ")"

/*
 * compaction_clock.c: the time by which it all goes, as of the last look. A look follows the calendar
 * when that has jumped; call it with the index locked, when compaction may work.
 */
void compaction_clock_start(index_t *index);
status_t compaction_clock_look(index_t *index);
int64_t compaction_now_us(const index_t *index);

int64_t compaction_dead_before_us(const index_t *index); /* what was buried before may go */

/* All of them. */
status_t compaction_round(index_t *index);

status_t compaction_start(index_t *index); /* the thread; index_close() ends it */

#endif
