#ifndef ZPACS_INDEX_MATCH_H
#define ZPACS_INDEX_MATCH_H

#include "base/buffer.h"
#include "database/database.h"
#include "index/dataset/attributes.h"

enum {
    MATCH_TERMS_MAX = 64,                              /* keys of one query */
    MATCH_LIST_MAX = 256,                              /* UIDs of one list */
    MATCH_VALUE_MAX = 32 * 1024,                       /* bytes of one key's value */
    MATCH_PATTERN_MAX = 256,                           /* bytes of a value with wildcards */
    MATCH_PARAMETERS_MAX = DATABASE_PARAMETERS_MAX - 8 /* the others are the page's */
};

typedef struct {
    bool is_number;
    int64_t number;
    char *text;
} parameter_t;

/*
 * A query's keys as SQL: " AND ..." over the aliases s (studies), e (series) and i (instances),
 * with parameters from $1. Values never become part of the text.
 */
typedef struct {
    buffer_t sql;
    parameter_t parameters[MATCH_PARAMETERS_MAX];
    int parameter_count;
    bool names_study, names_series; /* a key limits the answer to named studies, series */
    bool speaks_of[LEVEL_COUNT];    /* which of the aliases stand in the SQL */
} condition_t;

typedef struct {
    uint32_t tag;
    const char *value; /* UTF-8 */
} term_t;

/*
 * All terms together.                                                            PS3.4 C.2.2.2
 *
 * Single value, list of UID, wildcards, ranges of dates and times (a date range with a time range
 * is one range of instants), universal. Names ignore case and accents and match any component
 * group; with fuzzy each word must begin a word of the name.
 *
 * Fails: INVALID (an attribute that is not a key, a malformed value), TOO_LARGE (limits above).
 */
status_t match_terms(condition_t *condition, level_t level, const term_t *terms, size_t count,
                     bool fuzzy);
void match_bind(const condition_t *condition, statement_t *statement);
void condition_destroy(condition_t *condition);

/* The number of a new parameter. */
status_t condition_add_text(condition_t *condition, const char *text, size_t length,
                            int *out_number);
status_t condition_add_number(condition_t *condition, int64_t number, int *out_number);

/* match_text.c: " AND <column> ..." for a value with or without wildcards. PS3.4 C.2.2.2.1, .4 */
status_t match_pattern(condition_t *condition, const char *column, const char *value,
                       size_t length);
status_t match_name(condition_t *condition, uint32_t tag, const char *value, bool fuzzy);

/* match_range.c: dates and times.                                                PS3.4 C.2.2.2.5 */
status_t match_date(condition_t *condition, const char *column, const char *value);
status_t match_time(condition_t *condition, const char *column, const char *value);
status_t match_instants(condition_t *condition, const char *date_column, const char *dates,
                        const char *time_column, const char *times);

#endif
