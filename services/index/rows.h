#ifndef ZPACS_INDEX_ROWS_H
#define ZPACS_INDEX_ROWS_H

#include "database/database.h"
#include "index/entry.h"

/*
 * The rows of the index. What they say depends on the set of records alone, never on the order in
 * which they were read:
 *
 *   - a record is dead when a tombstone covers it (UIDs, and received up to then)
 *   - of the living records of a SOP Instance UID the one that a RESOLVE names is served, else the
 *     smallest origin; the others are rows of table copies
 *   - a study's or series' attributes are those of its instance with the smallest origin
 *
 * All functions run within the caller's transaction.
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

enum { SOURCE_MAX = 80 /* bytes of a source in the change feed: a page of it fits a message */ };

typedef struct {
    database_t *database;
    pack_store_t *store;
    int64_t counters[COUNTER_COUNT]; /* deltas of this transaction */
    int64_t version;                 /* sequence of the last change */
} rows_t;

typedef enum { PUT_STORED, PUT_DUPLICATE, PUT_CONFLICT, PUT_UNREADABLE, PUT_DEAD } put_t;

/* An instance row, as far as deciding about it needs. */
typedef struct {
    int64_t id, study, series;
    uid_text_t study_instance_uid, series_instance_uid;
    ulid_t pack;
    int64_t record_offset;
    origin_t origin;
    uint8_t sha256[SHA256_SIZE];
    char source[80];
    bool unreadable;
} instance_row_t;

/* conflict.c: takes in an INSTANCE record. */
status_t rows_put(rows_t *rows, const entry_t *entry, put_t *out_put);

/* conflict.c: the instance's row is gone or a decision was made: serves the right one of its
 * living records. */
status_t rows_elect(rows_t *rows, const char *sop_instance_uid);

/* rows.c */
status_t rows_find_instance(rows_t *rows, const char *sop_instance_uid, bool *out_found,
                            instance_row_t *out_row);
status_t rows_insert(rows_t *rows, const entry_t *entry);
status_t rows_delete_instance(rows_t *rows, int64_t id);
status_t rows_change(rows_t *rows, const char *kind, const char *study, const char *series,
                     const char *sop, const char *source);
status_t rows_take_study(rows_t *rows, int64_t study, const entry_t *entry); /* and its patient */
status_t rows_leave_patient(rows_t *rows, int64_t patient);
status_t rows_count_source(rows_t *rows, const entry_t *entry);
status_t rows_flush_counters(rows_t *rows);

/* settle.c: after instances went: counts anew, removes what is empty, and takes the attributes of
 * the instance that is now the smallest. */
status_t rows_settle(rows_t *rows, int64_t study, int64_t series);

/* attribute_rows.c: writes the attributes of one level. */
status_t rows_set_study(rows_t *rows, int64_t study, const entry_t *entry);
status_t rows_set_series(rows_t *rows, int64_t series, const entry_t *entry);
status_t rows_set_instance(rows_t *rows, int64_t instance, const entry_t *entry);
status_t rows_add_modality(rows_t *rows, int64_t study, const char *modality);
status_t rows_settle_modalities(rows_t *rows, int64_t study);

/* bury.c: applies the events. */
status_t rows_bury(rows_t *rows, const char *study, const char *series, const char *sop,
                   int64_t received_up_to_us, const char *user);
status_t rows_resolve(rows_t *rows, const char *sop, int64_t resolved_us, const char *kept_pack,
                      int64_t kept_sequence);

#endif
