#ifndef ZPACS_INDEX_EXTRACT_H
#define ZPACS_INDEX_EXTRACT_H

#include "base/buffer.h"
#include "base/status.h"
#include "index/dataset/attributes.h"

enum {
    /* Raised whenever the same dataset would give other rows: the index then rebuilds itself. */
    EXTRACT_VERSION = 5,
    EXTRACT_MEMBER_MAX = 16 * 1024,   /* bytes of JSON of one attribute; longer ones are not kept */
    EXTRACT_FRAGMENT_MAX = 64 * 1024, /* of one level: an answer has three, and fits a message */
    EXTRACT_TEXT_MAX = 1024           /* bytes of a searched text */
};

/* One searched value. */
typedef struct {
    bool known;
    int64_t number; /* MATCH_NUMBER */
    unsigned item;  /* of its sequence; 0: at top level */
    size_t text;    /* else where its NUL-terminated form begins in extract_t.texts */
} extract_value_t;

/*
 * What the index keeps of a dataset.
 *
 * fragments  by level: members of a DICOM JSON object (PS3.18 F.2), one per line, ascending by
 *            tag:  "00080020":{"vr":"DA","Value":["20261124"]}\n
 * values     by position in attributes[], in the form that is searched (names: as they stand)
 */
typedef struct {
    buffer_t fragments[LEVEL_COUNT];
    extract_value_t values[ATTRIBUTES_MAX];
    buffer_t texts;
} extract_t;

/* Deflate cannot do better than 1032:1. What is in a pack was acknowledged: its size is the limit. */
enum { EXTRACT_INFLATE_RATIO = 1100 };

/*
 * Extracts the query attributes: one function for the fast path, replay and rebuild.
 *
 * dataset  its bytes up to the pixel data at least; pixel data is not looked at
 * Fails: INVALID (not parseable), TOO_LARGE (nesting; inflated size). Then out is empty.
 */
status_t extract_dataset(const uint8_t *dataset, size_t length, const char *transfer_syntax_uid,
                         extract_t *out);

/* "" when the value is not known. */
const char *extract_text(const extract_t *extract, size_t attribute);
const char *extract_text_of(const extract_t *extract, uint32_t tag);

void extract_clear(extract_t *extract); /* keeps the memory */
void extract_destroy(extract_t *extract);

#endif
