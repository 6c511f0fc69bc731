#ifndef ZPACS_DICOMWEB_STORE_STORE_H
#define ZPACS_DICOMWEB_STORE_STORE_H

#include "base/buffer.h"
#include "dicom/file.h"
#include "dicomweb/context.h"
#include "http/http.h"
#include "http/multipart.h"

/*
 * One STOW-RS request: its parts go one after the other into a leased pack, each durable before the
 * next; then the index is asked what became of them; then the answer is made.   PS3.18 10.5
 *
 *     store.c    the handler: checks, reads the body, decides the status
 *     receive.c  a part -> a record in the pack, or a reason why not
 *     confirm.c  what the index says of the records
 *     report.c   the response message (PS3.18 I.2)
 *     packs.h    the open packs of this process
 *     room.h     whether the disk takes more
 */
enum {
    STORE_READ_SIZE = 256 * 1024,
    STORE_CONFIRM_MS = 2000,         /* how long the index is waited for */
    STORE_CONFIRM_INSTANCES = 256,   /* asked for at once: keeps the answer small, and the index */
    STORE_CONFIRM_BYTES = 256 << 20, /* busy while a large upload is still coming */
    STORE_RETRY_AFTER_S = 30         /* told to who meets a full disk */
};

/* Failure Reason (0008,1197) and Warning Reason (0008,1196).       PS3.18 I.2.2, PS3.7 C, PS3.4 B.2.3 */
enum {
    STORE_REASON_NONE = 0,
    STORE_REASON_OUT_OF_RESOURCES = 0xA700,
    STORE_REASON_MISMATCH = 0xA900, /* UIDs do not agree with each other or with the URL */
    STORE_REASON_NOT_UNDERSTOOD = 0xC000,
    STORE_WARNING_NOT_INDEXED = 0xB0F0, /* ours: stored durably, but not yet found by queries */
    STORE_WARNING_CONFLICT = 0xB0F1 /* ours: kept aside, other bytes are served under this UID */
};

/* What became of one part. */
typedef struct {
    uid_text_t sop_class_uid, sop_instance_uid; /* "" when the part did not tell */
    uid_text_t study_instance_uid, series_instance_uid;
    uint64_t offset;  /* of its record in the pack of the moment; for confirm.c */
    uint16_t failure; /* STORE_REASON_...; NONE: stored */
    bool confirmed;   /* the index has it */
    bool conflict;    /* other bytes were stored before under its UID; these are kept aside */
} store_result_t;

typedef enum {
    PART_HEAD,    /* gathering preamble and file meta */
    PART_DATASET, /* streaming into the pack */
    PART_REFUSED  /* reading over it; the reason is in refusal */
} part_state_t;

typedef struct {
    dicomweb_t *dicomweb;
    http_request_t *request;
    const char *study_instance_uid; /* of the URL; NULL for none */
    ulid_t id;                      /* ties the instances of the request together */

    pack_writer_t *writer; /* NULL until the first part, and behind a full pack */

    part_state_t state;
    buffer_t head; /* of this part */
    dicom_file_t file;
    uint16_t refusal;

    store_result_t *results;
    size_t count, capacity;
    size_t confirmed_count;    /* results before it have been asked for */
    uint64_t confirmed_offset; /* records before it have been asked for */
    bool index_silent;         /* it did not answer: not waited for again before the end */
    bool out_of_resources;
    uint64_t stored_bytes;
    size_t disguised;           /* stored ones whose preamble makes a program of the file, too */
    const char *disguised_kind; /* of the last of these */
} store_t;

/* ---- receive.c ------------------------------------------------------------------------------- */
extern const multipart_events_t store_events; /* context: store_t */

/* A new result, all zero; valid until the next. */
store_result_t *store_add_result(store_t *store);

/* Gives up the part that is under way and gives the pack back. */
void store_destroy(store_t *store);

/* ---- confirm.c ------------------------------------------------------------------------------- */
/* Rings the index's bell and waits for what it says; last: also when it was silent before. */
void store_confirm(store_t *store, bool last);

/* ---- report.c -------------------------------------------------------------------------------- */
/* The response message as DICOM JSON.                                               PS3.18 I.2.2 */
void store_report(const store_t *store, buffer_t *out_json);

#endif
