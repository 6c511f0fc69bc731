#ifndef ZPACS_INDEX_ANSWER_H
#define ZPACS_INDEX_ANSWER_H

#include "base/buffer.h"
#include "index/dataset/attributes.h"

/* What a row of a query gives: fragments (extract.h) by level and what is counted. */
typedef struct {
    level_t level;
    const char *fragments[LEVEL_COUNT];
    const char *study_instance_uid, *series_instance_uid, *sop_instance_uid, *sop_class_uid;
    const char *modalities; /* separated by '\' */
    int64_t series_count, study_instances, series_instances;
} answer_row_t;

/* Which attributes of attributes[] an answer has: wanted even when empty, or only when known. */
typedef struct {
    uint8_t wanted[ATTRIBUTES_MAX];
} answer_shape_t;
enum { ANSWER_NEVER, ANSWER_KNOWN, ANSWER_ALWAYS };

/*
 * The default of a level: its own attributes, the UIDs above it, and all of the levels above that
 * the query does not name.                        PS3.18 10.6.3.3 and tables 10.6.3-3 to 10.6.3-5
 */
void answer_shape_default(answer_shape_t *shape, level_t level, bool names_study,
                          bool names_series);

/* Appends the DICOM JSON object of a row: a concatenation of its fragments. */
void answer_append(buffer_t *out, const answer_shape_t *shape, const answer_row_t *row);

#endif
