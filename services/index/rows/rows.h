#ifndef ZPACS_INDEX_ROWS_H
#define ZPACS_INDEX_ROWS_H

#include "database/database.h"
#include "index/dataset/entry.h"
#include "index/rows/locks.h"
#include "pack.pb-c.h"

/*
 * The rows of the index. What they say depends on the set of records alone, never on the order in
 * which they were read, nor on which replica read them:
 *
 *   - a record is dead when a tombstone that was not taken back names it, or when the latest
 *     decision that names it rejects it; its place is remembered in table `buried`
 *   - of the living records of a SOP Instance UID the one that a RESOLVE names is served, else the
 *     smallest origin; the others are rows of table copies
 *   - a study's or series' attributes are those of its instance with the smallest origin
 *
 * A transaction: rows_begin(), any of the functions below, rows_flush(), rows_commit(). A study's rows are
 * touched only with its lock held; a function that needs another study fails with BUSY and has
 * added it to `locks`: the transaction is rolled back and run again with all of them.
 */
enum {
    COUNTER_PATIENTS,
    COUNTER_STUDIES,
    COUNTER_SERIES,
    COUNTER_INSTANCES,
    COUNTER_BYTES,
    COUNTER_UNREADABLE,
    COUNTER_COUNT
};

enum {
    SOURCE_MAX = 80,     /* bytes of a source in the change feed: a page of it fits a message */
    ROWS_KNOWN_MAX = 64, /* studies, series, sources and packs remembered within a transaction */
    ROWS_LOCKS_MAX = DATABASE_LOCKS_MAX - 64,
    MODALITY_MAX = 16 /* CS                                                     PS3.5 6.2 */
};

/* A study's row as this transaction knows it; what was added is counted once, at the end. */
typedef struct {
    uid_text_t uid;
    int64_t id; /* 0: there is no row */
    origin_t first;
    bool has_tombstones;
    int64_t added_series, added_instances;
} study_row_t;

typedef struct {
    uid_text_t uid;
    int64_t id, study;
    origin_t first;
    int64_t added_instances;
    char modality[MODALITY_MAX + 1]; /* of the last instance: known to its study */
} series_row_t;

typedef struct {
    char source[SOURCE_MAX];
    int64_t last_received_us, instances;
} source_row_t;

/* Records of a pack that nobody will ask for again. */
typedef struct {
    ulid_t pack;
    int64_t records, bytes;
} waste_row_t;

typedef struct {
    database_t *database;
    pack_store_t *store;
    locks_t locks;
    int64_t now_us;    /* of this transaction: version and time of its rows */
    bool is_careful;   /* instances may have come before: that was hoped against, in vain */
    bool is_numbering; /* this replica numbers the change feed */
    uint64_t session;  /* of the database, in which it was elected to do so */
    int64_t sequence;  /* the last number given; 0: not known */
    int64_t committed_sequence; /* the same, as of the last transaction that was committed */
    ulid_t judged_pack;         /* the last origin pack of which was asked: */
    bool has_verdicts;          /* does any decision name a record of it? */
    study_row_t studies[ROWS_KNOWN_MAX];
    series_row_t series[ROWS_KNOWN_MAX];
    source_row_t sources[ROWS_KNOWN_MAX];
    waste_row_t waste[ROWS_KNOWN_MAX];
    size_t study_count, series_count, source_count, waste_count;
    int64_t counters[COUNTER_COUNT]; /* deltas */
} rows_t;

typedef enum { PUT_STORED, PUT_DUPLICATE, PUT_CONFLICT, PUT_UNREADABLE, PUT_DEAD } put_t;

/* An instance row, as far as deciding about it needs. */
typedef struct {
    int64_t id, study, series;
    uid_text_t study_instance_uid, series_instance_uid;
    ulid_t pack;
    int64_t record_offset, dataset_length;
    origin_t origin;
    uint8_t digest[DIGEST_SIZE];
    char source[80];
    bool unreadable;
} instance_row_t;

/* A row's version after a change at or below it: the time of the transaction, but always a new one.
 * number: the parameter that is rows_t.now_us. */
#define ROWS_NEXT_VERSION(number)                                                                  \
    "CASE WHEN version < " number " THEN " number " ELSE version + 1 END"

/* rows.c: the transaction. */
void rows_begin(rows_t *rows);          /* forgets what an earlier one knew, but not `locks` */
status_t rows_take_locks(rows_t *rows); /* first in the transaction: all of `locks` */
status_t rows_lock_study(rows_t *rows, const char *study_instance_uid);
status_t rows_commit(rows_t *rows); /* the database's, and remembers what may be remembered */
status_t rows_flush(rows_t *rows); /* counts, sources, waste: sorted, so nobody waits in a circle */
status_t rows_waste(rows_t *rows, const ulid_t *pack, int64_t bytes);
/* A record of this source was met that was received then (0: none), and so many more are served. */
status_t rows_count_source(rows_t *rows, const char *source, int64_t received_us,
                           int64_t instances);
void rows_destroy(rows_t *rows);

/* changes.c: a line of the change feed. */
status_t rows_change(rows_t *rows, const char *kind, const char *study, const char *series,
                     const char *sop, const char *source);

/* Lines for all that is there of an object whose deletion was told, though it is there: what came
 * after a deletion may have been read before it. */
status_t rows_change_survivors(rows_t *rows, const char *study, const char *series,
                               const char *sop);

/* parents.c: studies, series and patients. */
status_t rows_find_study(rows_t *rows, const char *study_instance_uid, study_row_t **out_study);
status_t rows_take_study(rows_t *rows, int64_t study, const entry_t *entry); /* and its patient */
status_t rows_leave_patient(rows_t *rows, int64_t patient);
void rows_patient_of(const entry_t *entry, const char **out_id, const char **out_issuer);
status_t rows_flush_parents(rows_t *rows); /* before rows are counted anew; and forgets them */

/* Both rows are there, and the entry is the first of neither: it will leave their attributes alone. */
status_t rows_is_later(rows_t *rows, const entry_t *entry, bool *out_later);

/* Their rows, made if need be, with the entry's attributes if it is the first of them. */
status_t rows_put_parents(rows_t *rows, const entry_t *entry, study_row_t **out_study,
                          series_row_t **out_series);

/* buried.c: what is dead, and is it so for good? */
/* out_decided_us: when it was deleted or rejected; only if it is dead. */
status_t rows_is_dead(rows_t *rows, const entry_t *entry, bool has_tombstones, bool *out_dead,
                      int64_t *out_decided_us);
/* A record that was dead when it was read. */
status_t rows_put_buried(rows_t *rows, const entry_t *entry, int64_t decided_us);
int64_t rows_dead_since(const rows_t *rows, int64_t decided_us, int64_t received_us);
/* Brings back what is buried of this object and is dead no longer. */
status_t rows_exhume(rows_t *rows, const char *study, const char *series, const char *sop);
status_t rows_exhume_record(rows_t *rows, const char *origin_pack, int64_t origin_sequence);
/* Keeps the pack from being removed before this transaction's end; false: it is being removed, or
 * gone. For who makes a row point to a place where a record has lain dead. */
status_t rows_hold_pack(rows_t *rows, const ulid_t *pack, bool *out_held);

/* events.c: notes where a record that is no instance lies; false: it was known, and is not to be
 * applied again. */
status_t rows_put_event(rows_t *rows, const pack_record_t *record, bool *out_is_new);

/* instances.c */
status_t rows_find_instance(rows_t *rows, const char *sop_instance_uid, bool *out_found,
                            instance_row_t *out_row);
/* out_inserted is false when there is a row with this SOP Instance UID; nothing is done then. But
 * unless the transaction is careful that is not waited for: CONFLICT shows later. */
status_t rows_insert(rows_t *rows, const entry_t *entry, bool *out_inserted);
status_t rows_move_instance(rows_t *rows, const entry_t *entry, const instance_row_t *row);
status_t rows_delete_instance(rows_t *rows, int64_t id);

/* conflict.c: takes in an INSTANCE record. */
status_t rows_put(rows_t *rows, const entry_t *entry, put_t *out_put);
status_t rows_put_living(rows_t *rows, const entry_t *entry, put_t *out_put);

/* conflict.c: the instance's row is gone or a decision was made: serves the right one of its
 * living records. */
status_t rows_elect(rows_t *rows, const char *sop_instance_uid);

/* settle.c: after instances went: counts anew, removes what is empty, and takes the attributes of
 * the instance that is now the smallest. */
status_t rows_settle(rows_t *rows, int64_t study, int64_t series);

/* attribute_rows.c: writes the attributes of one level. */
status_t rows_set_study(rows_t *rows, int64_t study, const entry_t *entry);
status_t rows_set_series(rows_t *rows, int64_t series, const entry_t *entry);
status_t rows_add_modality(rows_t *rows, int64_t study, const char *modality);
status_t rows_settle_modalities(rows_t *rows, int64_t study);

/* attribute_rows.c: the columns of a level, for a statement's text: ", a = $6, b = $7", ", a, b" or
 * ", $6, $7"; and their values. */
typedef enum { COLUMNS_SET, COLUMNS_NAMES, COLUMNS_NUMBERS } columns_t;
void rows_append_columns(buffer_t *sql, level_t level, columns_t form, int first_number);
void rows_bind_columns(statement_t *statement, level_t level, int first_number,
                       const extract_t *extract);

/* bury.c, restore.c, decide.c: apply the events, each of which is new. */
status_t rows_bury(rows_t *rows, const pack_record_t *record, const Pack__Tombstone *tombstone);
status_t rows_bury_rejected(rows_t *rows, const char *sop, int64_t decided_us);
status_t rows_restore(rows_t *rows, const Pack__Restore *restore);
status_t rows_hold(rows_t *rows, const pack_record_t *record, const Pack__Hold *hold);
status_t rows_resolve(rows_t *rows, const pack_record_t *record, const Pack__Resolve *resolve);

#endif
