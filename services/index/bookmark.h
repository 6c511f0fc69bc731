#ifndef ZPACS_INDEX_BOOKMARK_H
#define ZPACS_INDEX_BOOKMARK_H

#include "base/text.h"
#include "crypto/crypto.h"

/*
 * Where pages of answers ended, remembered by this process: a page that goes on where another
 * ended begins behind that row, and costs its own rows alone, however deep it lies. README.md
 * tells what a caller sees of it.
 *
 * One table for all lanes. What is not in it is found by counting, so anything may be forgotten.
 */
enum {
    BOOKMARKS_MAX = 4096,
    BOOKMARK_LIFETIME_MS = 5 * 60 * 1000,
    PLACE_COLUMNS_MAX = 4 /* of an order (page.h) */
};

/* The values that a row has in the columns of an order; of each either the text or the number. */
typedef struct {
    uid_text_t texts[PLACE_COLUMNS_MAX];
    int64_t numbers[PLACE_COLUMNS_MAX];
} place_t;

/*
 * Of one walk through the answers of a query: so many rows of it stand up to and with this place.
 *
 * begun_ms   when the walk began: what is before the place was counted then
 */
typedef struct {
    uint32_t offset;
    int64_t begun_ms;
    place_t place;
} bookmark_t;

/* A query without limit and offset: a digest of all that decides which rows it has. */
typedef struct {
    uint8_t bytes[SHA256_SIZE];
} query_digest_t;

/* The one with the greatest offset that is at most this. False: none is known. */
bool bookmark_find(const query_digest_t *query, uint32_t offset, int64_t now_ms,
                   bookmark_t *out_bookmark);

/*
 * Remembers one, in the place of that which was noted longest ago. Of two walks that come to the
 * same offset the one that began later stays: an earlier one has not counted what came in since,
 * and would let the later one miss that many rows.
 */
void bookmark_note(const query_digest_t *query, const bookmark_t *bookmark, int64_t now_ms);

/* Before a rebuild: the rows get other ids. */
void bookmarks_forget(void);

#endif
