#ifndef ZPACS_INDEX_PAGE_H
#define ZPACS_INDEX_PAGE_H

#include "index/find/bookmark.h"
#include "index/find/match.h"

/*
 * The order of answers, and how the page at an offset is come to (bookmark.h).
 *
 * The order has no ties, and is the same on every database and after every rebuild: texts compare
 * byte by byte, what has no number comes last, and what came first is told by its origin, never by
 * the id of its row. So a page is what stands behind the last row of the page before.
 */
typedef struct {
    bool is_descending;
    bool needs_series; /* its columns are also those of the series above an instance */
    int column_count;
    struct {
        const char *name;
        bool is_text;
    } columns[PLACE_COLUMNS_MAX];
} order_t;

typedef struct {
    database_t *reader;
    level_t level;
    const condition_t *condition;
    const order_t *order;
    query_digest_t query;
    bool is_first;    /* nothing stands before the page */
    bookmark_t begin; /* the row before the page, unless is_first */
} page_t;

/*
 * Finds where the page at an offset begins. One that goes on where a page ended, or was asked for
 * before, is known. Another is counted up to from the nearest place before it that is known; only
 * the columns of the order are read for that, and places on the way are remembered.
 *
 * condition     borrowed by the page
 * out_is_empty  true: the answer ends before the offset
 */
status_t page_begin(page_t *out_page, database_t *reader, level_t level,
                    const condition_t *condition, uint32_t offset, bool *out_is_empty);

/* "s.study_date, ..." for the columns of a SELECT. */
void page_append_columns(const page_t *page, buffer_t *sql);

/* " WHERE ... ORDER BY ... LIMIT $n": the rows of the page. */
void page_append_where(const page_t *page, buffer_t *sql);

/* The values of what stands before, and the limit. */
void page_bind(const page_t *page, statement_t *statement, uint32_t limit);

/* The place of a row, whose columns of the order begin at first_column. */
place_t page_place(const page_t *page, statement_t *statement, int first_column);

/*
 * Remembers that the page, of so many rows, ended here.
 *
 * place  of the last row, when there are rows
 * more   rows stand behind it
 */
void page_end(const page_t *page, uint32_t rows, const place_t *place, bool more);

#endif
