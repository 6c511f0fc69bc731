#ifndef ZPACS_INDEX_ENTRY_H
#define ZPACS_INDEX_ENTRY_H

#include "index/dataset/extract.h"
#include "pack/store.h"

/* When and where a record was first written: the order that decides which of several records of
 * one instance is served. It does not depend on the order in which the index reads them. */
typedef struct {
    int64_t received_us;
    ulid_t pack;
    int64_t sequence;
} origin_t;

/* An INSTANCE record as the index sees it. */
typedef struct {
    pack_record_t record;
    origin_t origin;
    uid_text_t sop_class_uid, sop_instance_uid, study_instance_uid, series_instance_uid;
    char source[80]; /* calling AE title, user, or "import" */
    char source_ae_title[AE_TITLE_LENGTH_MAX + 1];
    bool unreadable; /* nothing could be extracted: provenance alone */
    extract_t extract;
} entry_t;

/*
 * Reads provenance and dataset head of an INSTANCE record.
 *
 * poisoned  the dataset is not looked at: it crashed this program before
 * Fails: INVALID (the provenance is damaged or has no UIDs), UNAVAILABLE (I/O). A dataset that
 * cannot be parsed is no failure: the entry is unreadable.
 */
status_t entry_read(pack_store_t *store, const pack_record_t *record, bool poisoned,
                    entry_t *out_entry);
void entry_destroy(entry_t *entry);

/* Below, equal to or above zero as a came before, is, or came after b. */
int origin_compare(const origin_t *a, const origin_t *b);

#endif
