#ifndef ZPACS_DICOMWEB_METADATA_CACHE_H
#define ZPACS_DICOMWEB_METADATA_CACHE_H

#include "base/buffer.h"
#include "crypto/crypto.h"
#include "dicomweb/location.h"

#include <stdbool.h>

/*
 * The /metadata of series, ready to send. Built once per series and base URL, kept until the
 * locations of the series change; bounded by bytes, the least recently used goes first. Threads that
 * want the same series at once wait for the one that builds it.
 */
typedef struct metadata_cache metadata_cache_t;

/* One series; read only, but for what is marked. */
typedef struct metadata_entry {
    uid_text_t study, series;
    char *base;
    uint8_t fingerprint[SHA256_SIZE]; /* of the records that it was made of, in order */
    buffer_t json;                    /* "[{...},{...}]" */
    struct metadata_slice {
        uid_text_t instance;
        ulid_t pack;
        uint64_t record_offset;
        size_t offset, length; /* of its object in json */
    } * slices;
    size_t count;
    /* under the lock of the cache: */
    buffer_t gzip;    /* empty until somebody takes it */
    uint64_t version; /* of the index, 0: not known */
    size_t cost, users;
    uint64_t last_used;
    bool is_listed, is_building;
} metadata_entry_t;

enum { METADATA_CACHE_SLOTS = 1024 };

metadata_cache_t *metadata_cache_create(size_t bytes_max);
void metadata_cache_destroy(metadata_cache_t **cache);

/* What is kept of a series, or NULL; release it. Its version may be old. */
metadata_entry_t *metadata_cache_look_up(metadata_cache_t *cache, const char *study,
                                         const char *series, const char *base);

/*
 * The entry of a series made of exactly these records, from the cache or built now.
 *
 * locations  all of one series, in order
 * version    of the series, when the index was asked for the series; else 0
 * Fails: as header_json_append() does.
 */
status_t metadata_cache_get(dicomweb_t *dicomweb, const location_t *locations, size_t count,
                            uint64_t version, const char *base, metadata_entry_t **out_entry);

/* Something of the study (series "") or of the series was deleted: none of it stays in memory. */
void metadata_cache_forget(metadata_cache_t *cache, const char *study, const char *series);

/* Says which records, in which order, metadata was made of: the same anywhere and at any time. */
void metadata_fingerprint(const location_t *locations, size_t count,
                          uint8_t out_fingerprint[SHA256_SIZE]);

/* The gzip form (RFC 1952); made at the first call. Valid while the entry is held. */
const buffer_t *metadata_cache_gzip(metadata_cache_t *cache, metadata_entry_t *entry);

void metadata_cache_release(metadata_cache_t *cache, metadata_entry_t **entry);

#endif
