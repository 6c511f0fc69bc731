#ifndef ZPACS_INDEX_CHANGES_H
#define ZPACS_INDEX_CHANGES_H

#include "index.pb-c.h"
#include "index/rows/rows.h"

/*
 * The change feed. A change is a row of the transaction that made it; its number it gets from the
 * one replica that is elected: in its own transactions at once, for those of the others within a
 * second of their commit. So numbers follow the order of commits, and a reader that has seen number n
 * has seen all below it. Numbers only ever grow: where some may have been lost with the end of a
 * database (the last transactions are not on disk yet), the next elected one leaves a gap wider
 * than any loss, so no number is given twice. The epoch changes when the index is rebuilt.
 */

/* Takes part in the election; noted in rows->is_numbering. At the start and every second, outside of
 * a transaction. */
status_t changes_elect(rows_t *rows);

/* First in each transaction: a connection that is new has lost the election of the one before. */
void changes_check(rows_t *rows);

/* In a transaction of the elected replica: numbers what others have committed. */
status_t changes_number(rows_t *rows);

/* Work of every second, in a transaction of its own, if this replica is elected: numbers, and
 * study.complete for studies that nothing was added to for stable_us. */
status_t changes_tend(rows_t *rows, int64_t stable_us);

/* feed.c: the epoch, and the newest number that is committed. */
enum { CHANGES_EPOCH_SIZE = 64 };
status_t changes_last(database_t *database, char out_epoch[CHANGES_EPOCH_SIZE], uint64_t *out_last);

/* feed.c: answers from a read-only connection. */
status_t changes_list(database_t *reader, const Index__Changes *query, Index__ChangeList *reply);

#endif
