#include "volume.h"

#include "pack/space.h"

#include <time.h>

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static void marks_are_bytes_but_at_most_a_share(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t low, high, volume, free;
        bool was_full, expected;
    } cases[] = {
        {"much room", 2 * GIB, 3 * GIB, 1000 * GIB, 900 * GIB, false, false},
        {"below the low mark", 2 * GIB, 3 * GIB, 1000 * GIB, 2 * GIB - 1, false, true},
        {"at the low mark", 2 * GIB, 3 * GIB, 1000 * GIB, 2 * GIB, false, false},
        {"between the marks, on the way down", 2 * GIB, 3 * GIB, 1000 * GIB, 5 * GIB / 2, false,
         false},
        {"between the marks, on the way up", 2 * GIB, 3 * GIB, 1000 * GIB, 5 * GIB / 2, true, true},
        {"at the high mark", 2 * GIB, 3 * GIB, 1000 * GIB, 3 * GIB, true, false},
        {"a small volume: 5 percent", 2 * GIB, 3 * GIB, 100 * MIB, 6 * MIB, false, false},
        {"a small volume: below 5 percent", 2 * GIB, 3 * GIB, 100 * MIB, 4 * MIB, false, true},
        {"a small volume: back above 7 percent", 2 * GIB, 3 * GIB, 100 * MIB, 8 * MIB, true, false},
        {"a small volume: not yet above 7 percent", 2 * GIB, 3 * GIB, 100 * MIB, 6 * MIB, true,
         true},
        {"a low mark of 0: never full", 0, 3 * GIB, 100 * GIB, 0, true, false},
        {"the high mark below the low one", 2 * GIB, 1, 1000 * GIB, 2 * GIB - 1, true, true},
        {"the high mark below the low one, above", 2 * GIB, 1, 1000 * GIB, 2 * GIB, true, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("%s\n", cases[i].name);
        assert_int_equal(pack_space_is_full(cases[i].low, cases[i].high, cases[i].volume,
                                            cases[i].free, cases[i].was_full),
                         cases[i].expected);
    }
}

/* Once its answer is too old. */
static pack_space_state_t look_anew(pack_space_t *space)
{
    struct timespec pause = {0, 10000000};
    for (int i = 0; i < PACK_SPACE_CACHE_MS / 10 + 1; i++)
        nanosleep(&pause, NULL);
    return pack_space_look(space);
}

static void says_when_it_changes(void **state)
{
    (void)state;
    pack_space_t *space;
    mount_volume();
    assert_ok(pack_space_open(data_folder, MIB / 2, MIB, &space));
    pack_space_state_t now = pack_space_look(space);
    assert_false(now.is_full);
    assert_false(now.has_changed);
    assert_int_equal(now.free_bytes, free_bytes());

    leave_free(MIB / 4);
    now = look_anew(space);
    assert_true(now.is_full);
    assert_true(now.has_changed);
    assert_int_equal(now.free_bytes, MIB / 4);
    now = pack_space_look(space);
    assert_true(now.is_full);
    assert_false(now.has_changed);

    leave_free(3 * MIB / 4);
    now = look_anew(space);
    assert_true(now.is_full);
    assert_false(now.has_changed);
    leave_free(MIB);
    now = look_anew(space);
    assert_false(now.is_full);
    assert_true(now.has_changed);
    pack_space_close(&space);
    pack_space_close(&space);
}

static void tells_what_is_not_there(void **state)
{
    (void)state;
    pack_space_t *space = NULL;
    assert_status(pack_space_open("/nowhere/at/all", 1, 2, &space), STATUS_UNAVAILABLE);
    assert_null(space);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_data_folder, unmount_volume)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(marks_are_bytes_but_at_most_a_share),
        TEST(says_when_it_changes),
        TEST(tells_what_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
