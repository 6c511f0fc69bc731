#include "index/find/bookmark.h"

#include <pthread.h>
#include <string.h>

enum { KINDS = 4 * BOOKMARKS_MAX };

typedef struct {
    query_digest_t query;
    bookmark_t bookmark;
} entry_t;

/* What is looked through at a question lies together: a few thousand numbers are read in some
 * microseconds. Most questions have no place here, which the counts say at once. */
static struct {
    pthread_mutex_t mutex;
    uint16_t of_kind[KINDS];            /* entries, by the beginning of their digest */
    uint64_t beginnings[BOOKMARKS_MAX]; /* of the digests */
    int64_t noted_ms[BOOKMARKS_MAX];    /* 0: there is none */
    entry_t entries[BOOKMARKS_MAX];
} table = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static uint64_t beginning_of(const query_digest_t *query)
{
    uint64_t beginning;
    memcpy(&beginning, query->bytes, sizeof beginning);
    return beginning;
}

static bool is_live(size_t i, int64_t now_ms)
{
    return table.noted_ms[i] && now_ms - table.noted_ms[i] < BOOKMARK_LIFETIME_MS;
}

static bool is_of(size_t i, uint64_t beginning, const query_digest_t *query)
{
    return table.beginnings[i] == beginning &&
           memcmp(table.entries[i].query.bytes, query->bytes, sizeof query->bytes) == 0;
}

static bool serves(const bookmark_t *bookmark, uint32_t offset, int64_t version)
{
    if (bookmark->version == version && version != BOOKMARK_VERSION_UNKNOWN)
        return bookmark->offset <= offset;
    return bookmark->offset == offset && bookmark->is_end && !bookmark->is_continued;
}

/* The entry that serves, with the greatest offset, or BOOKMARKS_MAX. */
static size_t find(const query_digest_t *query, uint32_t offset, int64_t version, int64_t now_ms)
{
    size_t best = BOOKMARKS_MAX;
    uint64_t beginning = beginning_of(query);
    for (size_t i = 0; i < BOOKMARKS_MAX; i++) {
        const bookmark_t *bookmark = &table.entries[i].bookmark;
        if (is_of(i, beginning, query) && is_live(i, now_ms) && serves(bookmark, offset, version) &&
            (best == BOOKMARKS_MAX || bookmark->offset > table.entries[best].bookmark.offset))
            best = i;
    }
    return best;
}

static size_t find_at(const query_digest_t *query, uint32_t offset, int64_t now_ms)
{
    uint64_t beginning = beginning_of(query);
    size_t i = 0;
    while (i < BOOKMARKS_MAX && !(is_of(i, beginning, query) && is_live(i, now_ms) &&
                                  table.entries[i].bookmark.offset == offset))
        i++;
    return i;
}

static size_t oldest(void)
{
    size_t oldest = 0;
    for (size_t i = 1; i < BOOKMARKS_MAX; i++)
        if (table.noted_ms[i] < table.noted_ms[oldest])
            oldest = i;
    return oldest;
}

bool bookmark_find(const query_digest_t *query, uint32_t offset, int64_t version, int64_t now_ms,
                   bookmark_t *out_bookmark)
{
    pthread_mutex_lock(&table.mutex);
    size_t found = find(query, offset, version, now_ms);
    if (found < BOOKMARKS_MAX) {
        bookmark_t *bookmark = &table.entries[found].bookmark;
        *out_bookmark = *bookmark;
        bookmark->is_continued |= bookmark->offset == offset;
    }
    pthread_mutex_unlock(&table.mutex);
    return found < BOOKMARKS_MAX;
}

void bookmark_note(const query_digest_t *query, const bookmark_t *bookmark, int64_t now_ms)
{
    pthread_mutex_lock(&table.mutex);
    size_t at = find_at(query, bookmark->offset, now_ms);
    bool is_there = at < BOOKMARKS_MAX;
    if (!is_there)
        at = oldest();
    if (!is_there || table.entries[at].bookmark.begun_ms <= bookmark->begun_ms) {
        if (table.beginnings[at])
            table.of_kind[table.beginnings[at] % KINDS]--;
        table.entries[at] = (entry_t){*query, *bookmark};
        table.beginnings[at] = beginning_of(query);
        table.of_kind[table.beginnings[at] % KINDS]++;
        table.noted_ms[at] = now_ms;
    }
    pthread_mutex_unlock(&table.mutex);
}

void bookmarks_supersede(const query_digest_t *query, uint32_t from, uint32_t to, int64_t begun_ms)
{
    uint64_t beginning = beginning_of(query);
    pthread_mutex_lock(&table.mutex);
    bool is_any = table.of_kind[beginning % KINDS] > 0;
    for (size_t i = 0; is_any && i < BOOKMARKS_MAX; i++) {
        const bookmark_t *bookmark = &table.entries[i].bookmark;
        if (is_of(i, beginning, query) && bookmark->offset > from && bookmark->offset < to &&
            bookmark->begun_ms <= begun_ms)
            table.noted_ms[i] = 0;
    }
    pthread_mutex_unlock(&table.mutex);
}

void bookmarks_forget(void)
{
    pthread_mutex_lock(&table.mutex);
    memset(table.noted_ms, 0, sizeof table.noted_ms);
    pthread_mutex_unlock(&table.mutex);
}
