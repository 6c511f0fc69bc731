#ifndef ZPACS_INDEX_ATTRIBUTES_H
#define ZPACS_INDEX_ATTRIBUTES_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The rows an attribute lives in. The numbers are those of index.v1.Level. */
typedef enum { LEVEL_STUDY = 1, LEVEL_SERIES = 2, LEVEL_INSTANCE = 3, LEVEL_COUNT = 4 } level_t;

/* How a query key is matched.                                                    PS3.4 C.2.2.2 */
typedef enum {
    MATCH_NONE,      /* returned only */
    MATCH_UID,       /* one or a list */
    MATCH_EXACT,     /* as it stands, with wildcards: identifiers and code strings */
    MATCH_TEXT,      /* folded (fold.h), with wildcards: descriptions */
    MATCH_NAME,      /* person names: rows of table names */
    MATCH_DATE,      /* YYYYMMDD, ranges */
    MATCH_TIME,      /* HHMMSSFFFFFF, ranges */
    MATCH_NUMBER,    /* IS, US */
    MATCH_MODALITIES /* of the study's series */
} match_t;

/* When an attribute stands in an answer. */
typedef enum {
    RETURN_ASKED, /* when includefield names it, or all */
    RETURN_KNOWN, /* and when it has a value */
    RETURN_ALWAYS /* also when empty */
} return_t;

typedef struct {
    uint32_t tag;
    uint32_t within; /* the sequence at top level it stands in, or 0 */
    level_t level;
    match_t match;
    return_t returned;
    const char *vr;
    const char *column; /* searched; NULL: only in the JSON fragment, or in table names */
    bool computed;      /* not from the dataset: counts, UIDs, availability */
} attribute_t;

/* All that the index keeps, ascending by tag; docs: PS3.18 tables 10.6.3-3 to 10.6.3-5 and more. */
extern const attribute_t attributes[];
extern const size_t attribute_count;

enum { ATTRIBUTES_MAX = 128 };

const attribute_t *attribute_find(uint32_t tag); /* NULL: the index does not keep it */

/* Top-level tags whose JSON is kept, ascending; for dicom_json_options_t. */
const uint32_t *attribute_json_tags(size_t *out_count);

#endif
