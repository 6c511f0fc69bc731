/* Locations that were asked for just now: what stays, and what is forgotten. */
#include "dicomweb/location/location_cache.h"

#include <stdio.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static location_t location_of(const char *series, int number)
{
    location_t location = {.record_offset = (uint64_t)number * 4096};
    snprintf(location.study, sizeof location.study, "1.2");
    snprintf(location.series, sizeof location.series, "%s", series);
    snprintf(location.instance, sizeof location.instance, "%s.%d", series, number);
    return location;
}

static target_t target_of(const location_t *location)
{
    return (target_t){location->study, location->series, location->instance};
}

/* The generation for putting it in, when it is not there. */
static bool look_up(location_cache_t *cache, const location_t *wanted, uint64_t *out_generation)
{
    location_t found;
    target_t target = target_of(wanted);
    if (!location_cache_get(cache, &target, &found, out_generation))
        return false;
    assert_memory_equal(&found, wanted, sizeof found);
    return true;
}

static bool is_kept(location_cache_t *cache, const char *series, int number)
{
    uint64_t generation;
    location_t location = location_of(series, number);
    return look_up(cache, &location, &generation);
}

static void put(location_cache_t *cache, const char *series, int number)
{
    uint64_t generation;
    location_t location = location_of(series, number);
    look_up(cache, &location, &generation);
    location_cache_put(cache, &location, generation);
}

static int kept_of(location_cache_t *cache, const char *series, int count)
{
    int kept = 0;
    for (int i = 1; i <= count; i++)
        kept += is_kept(cache, series, i);
    return kept;
}

/* Their UIDs differ in the last digits only, and all of them are wanted again in a moment. */
static void keeps_a_whole_series(void **state)
{
    static const struct {
        const char *name, *series;
        int count, kept; /* at least */
    } cases[] = {
        {"short", "1.2.3", 300, 300},
        {"long UID", "1.2.826.0.1.3680043.10.999.100000.20001.1", 300, 300},
        {"hexadecimal", "2.25.f3a9c04bd2e14c6f9", 300, 300},
        {"large", "1.2.840.113619.2.55.3.604688119", 2000, 1900},
    };
    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        location_cache_t *cache = location_cache_create();
        location_cache_trust(cache, INT64_MAX);
        for (int i = 1; i <= cases[c].count; i++)
            put(cache, cases[c].series, i);
        int kept = kept_of(cache, cases[c].series, cases[c].count);
        if (kept < cases[c].kept)
            fail_msg("%s: %d of %d are kept", cases[c].name, kept, cases[c].count);
        location_cache_destroy(&cache);
    }
}

static void the_newest_stay(void **state)
{
    enum { MANY = 100 * 1000, NEWEST = 300 };
    (void)state;
    location_cache_t *cache = location_cache_create();
    location_cache_trust(cache, INT64_MAX);
    for (int i = 1; i <= MANY; i++)
        put(cache, "1.2.3", i);
    for (int i = MANY - NEWEST + 1; i <= MANY; i++)
        assert_true(is_kept(cache, "1.2.3", i));
    assert_in_range(kept_of(cache, "1.2.3", MANY), NEWEST, LOCATION_CACHE_SLOTS);
    location_cache_destroy(&cache);
}

static void is_found_by_all_three_names(void **state)
{
    (void)state;
    uint64_t generation;
    location_cache_t *cache = location_cache_create();
    location_cache_trust(cache, INT64_MAX);
    location_t location = location_of("1.2.3", 1);
    put(cache, "1.2.3", 1);
    assert_true(look_up(cache, &location, &generation));
    location_t found;
    target_t other_study = {"1.9", location.series, location.instance};
    target_t other_series = {location.study, "1.9", location.instance};
    assert_false(location_cache_get(cache, &other_study, &found, &generation));
    assert_false(location_cache_get(cache, &other_series, &found, &generation));
    location_cache_destroy(&cache);
}

static void forgets(void **state)
{
    (void)state;
    location_cache_t *cache = location_cache_create();
    location_cache_trust(cache, INT64_MAX);
    for (int i = 1; i <= 10; i++) {
        put(cache, "1.2.3", i);
        put(cache, "1.2.4", i);
    }
    location_cache_forget_instance(cache, "1.2.3.7");
    assert_false(is_kept(cache, "1.2.3", 7));
    assert_int_equal(kept_of(cache, "1.2.3", 10), 9);
    location_cache_forget_below(cache, "1.2", "1.2.4");
    assert_int_equal(kept_of(cache, "1.2.4", 10), 0);
    assert_int_equal(kept_of(cache, "1.2.3", 10), 9);
    location_cache_forget_below(cache, "1.2", "");
    assert_int_equal(kept_of(cache, "1.2.3", 10), 0);
    put(cache, "1.2.3", 1);
    location_cache_clear(cache);
    assert_int_equal(kept_of(cache, "1.2.3", 10), 0);
    location_cache_destroy(&cache);
}

/* The index had answered before, and the answer came behind what it should have been forgotten with. */
static void drops_an_answer_from_before(void **state)
{
    (void)state;
    uint64_t generation;
    location_t location = location_of("1.2.3", 1);
    location_cache_t *cache = location_cache_create();
    location_cache_trust(cache, INT64_MAX);
    assert_false(look_up(cache, &location, &generation));
    location_cache_forget_instance(cache, location.instance);
    location_cache_put(cache, &location, generation);
    assert_false(look_up(cache, &location, &generation));
    location_cache_put(cache, &location, generation);
    assert_true(look_up(cache, &location, &generation));
    location_cache_destroy(&cache);
}

static void a_newer_place_replaces_the_older(void **state)
{
    (void)state;
    uint64_t generation;
    location_cache_t *cache = location_cache_create();
    location_cache_trust(cache, INT64_MAX);
    put(cache, "1.2.3", 1);
    location_t moved = location_of("1.2.3", 1), found;
    moved.record_offset = 77 * 4096;
    target_t target = target_of(&moved);
    assert_true(location_cache_get(cache, &target, &found, &generation));
    location_cache_put(cache, &moved, generation);
    assert_true(location_cache_get(cache, &target, &found, &generation));
    assert_int_equal(found.record_offset, moved.record_offset);
    location_cache_forget_instance(cache, moved.instance);
    assert_false(location_cache_get(cache, &target, &found, &generation));
    location_cache_destroy(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_a_whole_series),
        cmocka_unit_test(the_newest_stay),
        cmocka_unit_test(is_found_by_all_three_names),
        cmocka_unit_test(forgets),
        cmocka_unit_test(drops_an_answer_from_before),
        cmocka_unit_test(a_newer_place_replaces_the_older),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
