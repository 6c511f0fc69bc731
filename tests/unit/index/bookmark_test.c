#include "support.h"

#include "index/bookmark.h"

enum { NOW_MS = 1000000 };

static query_digest_t query_make(uint8_t number)
{
    query_digest_t query = {{number}};
    return query;
}

static void note(uint8_t query, uint32_t offset, int64_t begun_ms, int64_t row, int64_t now_ms)
{
    query_digest_t digest = query_make(query);
    bookmark_t bookmark = {.offset = offset, .begun_ms = begun_ms, .place = {.numbers = {row}}};
    bookmark_note(&digest, &bookmark, now_ms);
}

/* The row of the bookmark that is found, its offset times a thousand added; -1: none. */
static int64_t find(uint8_t query, uint32_t offset, int64_t now_ms)
{
    query_digest_t digest = query_make(query);
    bookmark_t bookmark = {0};
    if (!bookmark_find(&digest, offset, now_ms, &bookmark))
        return -1;
    return (int64_t)bookmark.offset * 1000 + bookmark.place.numbers[0];
}

static int forget(void **state)
{
    (void)state;
    bookmarks_forget();
    return 0;
}

static void test_nearest_before(void **state)
{
    (void)state;
    assert_int_equal(find(1, 100, NOW_MS), -1);
    note(1, 50, NOW_MS, 5, NOW_MS);
    note(1, 20, NOW_MS, 2, NOW_MS);
    note(2, 40, NOW_MS, 4, NOW_MS);
    assert_int_equal(find(1, 19, NOW_MS), -1);
    assert_int_equal(find(1, 20, NOW_MS), 20002);
    assert_int_equal(find(1, 49, NOW_MS), 20002);
    assert_int_equal(find(1, 50, NOW_MS), 50005);
    assert_int_equal(find(1, UINT32_MAX, NOW_MS), 50005);
    assert_int_equal(find(3, 50, NOW_MS), -1);
    bookmarks_forget();
    assert_int_equal(find(1, 50, NOW_MS), -1);
}

static void test_digests_that_begin_alike(void **state)
{
    (void)state;
    query_digest_t one = query_make(1), other = query_make(1);
    bookmark_t bookmark = {.offset = 7}, found;
    other.bytes[SHA256_SIZE - 1] = 1;
    bookmark_note(&one, &bookmark, NOW_MS);
    assert_true(bookmark_find(&one, 7, NOW_MS, &found));
    assert_false(bookmark_find(&other, 7, NOW_MS, &found));
}

static void test_expires(void **state)
{
    (void)state;
    note(1, 50, NOW_MS, 5, NOW_MS);
    assert_int_equal(find(1, 50, NOW_MS + BOOKMARK_LIFETIME_MS - 1), 50005);
    assert_int_equal(find(1, 50, NOW_MS + BOOKMARK_LIFETIME_MS), -1);
    /* What has expired is in nobody's way. */
    note(1, 50, NOW_MS - 1, 6, NOW_MS + BOOKMARK_LIFETIME_MS);
    assert_int_equal(find(1, 50, NOW_MS + BOOKMARK_LIFETIME_MS), 50006);
}

static void test_later_walk_stays(void **state)
{
    (void)state;
    note(1, 50, NOW_MS, 1, NOW_MS);
    note(1, 50, NOW_MS + 5, 2, NOW_MS + 5);
    assert_int_equal(find(1, 50, NOW_MS + 5), 50002);
    note(1, 50, NOW_MS, 3, NOW_MS + 9);
    assert_int_equal(find(1, 50, NOW_MS + 9), 50002);
    note(1, 50, NOW_MS + 5, 4, NOW_MS + 9);
    assert_int_equal(find(1, 50, NOW_MS + 9), 50004);
}

static void test_full_table_drops_the_oldest(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < BOOKMARKS_MAX; i++)
        note(1, 10 * (i + 1), NOW_MS, 1, NOW_MS + i);
    note(1, 10, NOW_MS, 2, NOW_MS + BOOKMARKS_MAX); /* anew: no longer the oldest */
    note(2, 10, NOW_MS, 3, NOW_MS + BOOKMARKS_MAX);
    assert_int_equal(find(1, 10, NOW_MS + BOOKMARKS_MAX), 10002);
    assert_int_equal(find(2, 10, NOW_MS + BOOKMARKS_MAX), 10003);
    assert_int_equal(find(1, 20, NOW_MS + BOOKMARKS_MAX), 10002);
    assert_int_equal(find(1, 30, NOW_MS + BOOKMARKS_MAX), 30001);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_nearest_before, forget),
        cmocka_unit_test_setup(test_digests_that_begin_alike, forget),
        cmocka_unit_test_setup(test_expires, forget),
        cmocka_unit_test_setup(test_later_walk_stays, forget),
        cmocka_unit_test_setup(test_full_table_drops_the_oldest, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
