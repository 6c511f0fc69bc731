#ifndef ZPACS_DICOMWEB_METADATA_CACHE_H
#define ZPACS_DICOMWEB_METADATA_CACHE_H

#include "base/buffer.h"
#include "crypto/crypto.h"
#include "dicomweb/form/gzip.h"
#include "dicomweb/metadata/metadata_build.h"

#include <stdbool.h>

/*
 * The /metadata of series, ready to be sent. Holds content only: who may see it has been decided
 * before anybody asks here, and whether it is what the index has now is decided by its fingerprint.
 *
 * Made once per series and base URL: threads that want the same one at once wait for the one that
 * makes it. All of it together, with what is being made and what is still being sent, is never more
 * than bytes_max, and one entry never more than its share; the least recently used goes first.
 */
typedef struct metadata_cache metadata_cache_t;

/* A run of a series, as one thread has made it. */
typedef struct {
    buffer_t json;            /* "{...},{...}": the objects joined, without brackets */
    metadata_slice_t *slices; /* in the order of json */
    size_t count;             /* 0: there is no such half */
    gzip_piece_t gzip;        /* of json, once the entry is packed */
} metadata_half_t;

enum { METADATA_HALVES = 2 };

/* One series; read only. */
typedef struct metadata_entry {
    uid_text_t study, series;
    char *base;
    uint8_t fingerprint[SHA256_SIZE];        /* of the records that it was made of, in order */
    metadata_half_t halves[METADATA_HALVES]; /* in order; of most series all is in the first */
    size_t count;                            /* of instances */
    struct metadata_shelf {
        uint64_t last_used, generation;
        size_t cost, users;
        bool is_listed, is_building, is_packing, is_packed;
    } shelf; /* under the lock of the cache */
} metadata_entry_t;

enum {
    METADATA_CACHE_SLOTS = 4096,
    METADATA_CACHE_SHARE = 8 /* an entry is at most this part of all */
};

metadata_cache_t *metadata_cache_create(size_t bytes_max);
void metadata_cache_destroy(metadata_cache_t **cache);

/* Counts what has been forgotten: taken before the index is asked, see metadata_cache_get(). */
uint64_t metadata_cache_generation(metadata_cache_t *cache);

/* What is kept of a series, or NULL; release it. fingerprint: of the records wanted; NULL: any. */
metadata_entry_t *metadata_cache_look_up(metadata_cache_t *cache, const char *study,
                                         const char *series, const char *base,
                                         const uint8_t *fingerprint);

/*
 * The entry of a series made of exactly these records, from the cache or made now.
 *
 * locations   all of one series, in order
 * generation  from before they were located: if anything was deleted since, nothing is kept
 * out_entry   NULL with OK: there is no room for it; send it without an entry (metadata_build.h)
 *
 * Fails: as metadata_build_next() does.
 */
status_t metadata_cache_get(dicomweb_t *dicomweb, const location_t *locations, size_t count,
                            uint64_t generation, const char *base, metadata_entry_t **out_entry);

/* Has the gzip form of its halves made, by the first who asks; false: there is no room for it. */
bool metadata_cache_pack(metadata_cache_t *cache, metadata_entry_t *entry);

/* Something of the study (series "") or of the series was deleted: none of it stays in memory. */
void metadata_cache_forget(metadata_cache_t *cache, const char *study, const char *series);

void metadata_cache_release(metadata_cache_t *cache, metadata_entry_t **entry); /* NULL is fine */

#endif
