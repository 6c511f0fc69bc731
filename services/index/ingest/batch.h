#ifndef ZPACS_INDEX_BATCH_H
#define ZPACS_INDEX_BATCH_H

#include "index/rows/rows.h"
#include "pack.pb-c.h"

/*
 * The next records of a pack, read and understood before a transaction begins: so a transaction is
 * short, and can be run again as it is.
 */
enum {
    BATCH_RECORDS = 256,
    BATCH_BYTES = 4 * 1024 * 1024, /* of extracted attributes; then the batch is full */
    BATCH_MS = 200,
    BATCH_POISON_ATTEMPTS =
        2 /* crashes over one record before it is taken by its provenance alone */
};

/* One record. Of those that are to be passed over (damaged, or of a later version) all is NULL. */
typedef struct {
    pack_record_t record;
    bool is_instance;
    entry_t entry;    /* its memory is used again and again */
    int64_t attempts; /* crashes over it before */
    put_t put;        /* what became of it */
    Pack__Tombstone *tombstone;
    Pack__Resolve *resolve;
    Pack__Restore *restore;
    Pack__Hold *hold;
} item_t;

typedef struct {
    ulid_t pack;
    uint64_t start, end; /* of what is read; equal: nothing was there */
    size_t count;
    item_t items[BATCH_RECORDS];
} batch_t;

struct index;

/* Reads from `start` on, and not beyond `limit`. Fails: UNAVAILABLE (I/O, database). */
status_t batch_read(struct index *index, const ulid_t *pack, uint64_t start, uint64_t limit,
                    batch_t *batch);
void batch_clear(batch_t *batch);
void batch_destroy(batch_t **batch);

/* The record at *offset or, behind a damaged range, the next one, whose place *offset becomes.
 * Fails: NOT_FOUND (nothing more below limit). */
status_t batch_find_record(struct index *index, const ulid_t *pack, uint64_t limit,
                           uint64_t *offset, pack_record_t *out_record);

/* events.c: the message of a record that is no instance. INVALID: it names nothing. */
status_t event_read(struct index *index, item_t *item);
void event_clear(item_t *item);

#endif
