#ifndef ZPACS_DICOMWEB_FRAME_CACHE_H
#define ZPACS_DICOMWEB_FRAME_CACHE_H

#include "dicom/frames.h"
#include "dicomweb/instance/stored.h"

/*
 * Where the frames of an instance lie: found once, kept for the frames to come. A record never
 * changes, so a table holds as long as its pack and offset do. Bounded by bytes, the least recently
 * used goes first.
 */
typedef struct frame_cache frame_cache_t;

typedef struct {
    dicom_frames_t *frames;
    /* for the cache: */
    ulid_t pack;
    uint64_t record_offset;
    size_t cost, users;
    uint64_t last_used;
    bool is_listed;
} frame_table_t;

enum { FRAME_CACHE_SLOTS = 2048 };

frame_cache_t *frame_cache_create(size_t bytes_max);
void frame_cache_destroy(frame_cache_t **cache);

/*
 * The table of an open instance; give it back with frame_cache_release().
 * Fails: as dicom_frames_locate() does.
 */
status_t frame_cache_get(dicomweb_t *dicomweb, const stored_t *stored, frame_table_t **out_table);
void frame_cache_release(dicomweb_t *dicomweb, frame_table_t **table);

#endif
