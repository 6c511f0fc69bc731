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
    PLACE_COLUMNS_MAX = 8, /* of an order (page.h) */
    BOOKMARK_VERSION_UNKNOWN = -1
};

/* The values that a row has in the columns of an order; of each either the text or the number. */
typedef struct {
    uid_text_t texts[PLACE_COLUMNS_MAX];
    int64_t numbers[PLACE_COLUMNS_MAX];
} place_t;

/*
 * Of one walk through the answers of a query: so many rows of it stand up to and with this place.
 *
 * begun_ms      when the walk began: what is before the place was counted then
 * version       of the rows, when it was noted; BOOKMARK_VERSION_UNKNOWN is no other's equal
 * is_end        a page ended there: the next may go on, though rows have come or gone since
 * is_continued  one has: another that asks for the same is to have what now stands there
 */
typedef struct {
    uint32_t offset;
    int64_t begun_ms, version;
    bool is_end, is_continued;
    place_t place;
} bookmark_t;

/* A query without limit and offset: a digest of all that decides which rows it has. */
typedef struct {
    uint8_t bytes[SHA256_SIZE];
} query_digest_t;

/*
 * The one with the greatest offset that is at most this: of this version of the rows, or at the
 * offset itself the end of a page that none has gone on from. False: none is known.
 */
bool bookmark_find(const query_digest_t *query, uint32_t offset, int64_t version, int64_t now_ms,
                   bookmark_t *out_bookmark);

/*
 * Remembers one, in the place of that which was noted longest ago. Of two walks that come to the
 * same offset the one that began later stays: an earlier one has not counted what came in since,
 * and would let the later one miss that many rows.
 */
void bookmark_note(const query_digest_t *query, const bookmark_t *bookmark, int64_t now_ms);

/* Rows behind this offset and before that one have been read by a walk that began then: what older
 * walks know of places between is of the past. */
void bookmarks_supersede(const query_digest_t *query, uint32_t from, uint32_t to, int64_t begun_ms);

/* Before a rebuild: the rows go. */
void bookmarks_forget(void);

#endif
