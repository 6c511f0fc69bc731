#include "support.h"

#include "index/find/bookmark.h"

enum { NOW_MS = 1000000 };

static query_digest_t query_make(uint8_t number)
{
    query_digest_t query = {{number}};
    return query;
}

static void note(uint8_t query, uint32_t offset, int64_t begun_ms, int64_t row, int64_t now_ms)
{
    query_digest_t digest = query_make(query);
    bookmark_t bookmark = {
        .offset = offset, .begun_ms = begun_ms, .version = 1, .place = {.numbers = {row}}};
    bookmark_note(&digest, &bookmark, now_ms);
}

/* The row of the bookmark that is found, its offset times a thousand added; -1: none. */
static int64_t find(uint8_t query, uint32_t offset, int64_t now_ms)
{
    query_digest_t digest = query_make(query);
    bookmark_t bookmark = {0};
    if (!bookmark_find(&digest, offset, 1, now_ms, &bookmark))
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
    assert_true(bookmark_find(&one, 7, 0, NOW_MS, &found));
    assert_false(bookmark_find(&other, 7, 0, NOW_MS, &found));
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

static void test_a_page_goes_on_once(void **state)
{
    (void)state;
    query_digest_t query = query_make(1);
    bookmark_t end = {.offset = 7, .version = 1, .is_end = true}, found;
    bookmark_note(&query, &end, NOW_MS);
    assert_false(bookmark_find(&query, 8, 2, NOW_MS, &found));
    assert_true(bookmark_find(&query, 7, 2, NOW_MS, &found));
    assert_false(bookmark_find(&query, 7, 2, NOW_MS, &found));
    assert_true(bookmark_find(&query, 8, 1, NOW_MS, &found));
    assert_false(bookmark_find(&query, 7, BOOKMARK_VERSION_UNKNOWN, NOW_MS, &found));
}

static void test_supersede(void **state)
{
    (void)state;
    for (uint32_t offset = 10; offset <= 40; offset += 10)
        note(1, offset, offset == 30 ? 9 : 5, 1, NOW_MS);
    query_digest_t query = query_make(1);
    bookmarks_supersede(&query, 10, 40, 7);
    assert_int_equal(find(1, 29, NOW_MS), 10001);
    assert_int_equal(find(1, 39, NOW_MS), 30001);
    assert_int_equal(find(1, 40, NOW_MS), 40001);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_nearest_before, forget),
        cmocka_unit_test_setup(test_digests_that_begin_alike, forget),
        cmocka_unit_test_setup(test_expires, forget),
        cmocka_unit_test_setup(test_later_walk_stays, forget),
        cmocka_unit_test_setup(test_a_page_goes_on_once, forget),
        cmocka_unit_test_setup(test_supersede, forget),
        cmocka_unit_test_setup(test_full_table_drops_the_oldest, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
