/* What metadata is put together of, remembered by the version that the index gave. */
#include "dicomweb/metadata/metadata_plan.h"

#include "base/memory.h"
#include "dicomweb/metadata/metadata_build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void place_make(location_t *place, const char *series, int number)
{
    *place = (location_t){.record_offset = 4096 * (uint64_t)(number + 1)};
    snprintf(place->series, sizeof place->series, "%s", series);
    memcpy(place->pack.text, "01ARZ3NDEKTSV4RRFFQ69G5FAV", ULID_LENGTH);
}

static bool is_remembered(metadata_plans_t *plans, const target_t *target)
{
    metadata_plan_t plan = {0};
    bool found = metadata_plans_get(plans, target, &plan);
    metadata_plan_destroy(&plan);
    return found;
}

static void names_its_series_and_their_records(void **state)
{
    enum { LONG = 7, ALL = 10 };
    (void)state;
    location_t places[ALL];
    uint8_t fingerprint[SHA256_SIZE];
    metadata_plan_t plan, other;
    for (int i = 0; i < ALL; i++)
        place_make(&places[i], i < LONG ? "1.2.1" : "1.2.2", i);
    locations_t all = {.items = places, .count = ALL, .version = 77};
    metadata_plan_make(&all, &plan);
    assert_int_equal(plan.version, 77);
    assert_int_equal(plan.count, 2);
    assert_int_equal(plan.parts[0].count, LONG);
    assert_int_equal(plan.parts[1].count, ALL - LONG);
    assert_string_equal(plan.parts[1].series, "1.2.2");
    metadata_fingerprint(places + LONG, ALL - LONG, fingerprint);
    assert_memory_equal(plan.parts[1].fingerprint, fingerprint, SHA256_SIZE);

    places[LONG].record_offset += 4096;
    metadata_plan_make(&all, &other);
    assert_memory_not_equal(plan.fingerprint, other.fingerprint, SHA256_SIZE);
    assert_memory_not_equal(plan.parts[1].fingerprint, other.parts[1].fingerprint, SHA256_SIZE);
    assert_memory_equal(plan.parts[0].fingerprint, other.parts[0].fingerprint, SHA256_SIZE);
    metadata_plan_destroy(&plan);
    metadata_plan_destroy(&other);
}

static void the_newer_takes_the_place(void **state)
{
    (void)state;
    location_t places[2];
    target_t study = {.study = "1.2"}, series = {.study = "1.2", .series = "1.2.1"};
    metadata_plans_t *plans = metadata_plans_create();
    for (int i = 0; i < 2; i++)
        place_make(&places[i], "1.2.1", i);
    for (uint64_t version = 1; version <= 2; version++) {
        metadata_plan_t plan, found;
        locations_t all = {.items = places, .count = version, .version = version};
        metadata_plan_make(&all, &plan);
        metadata_plans_put(plans, &study, &plan);
        assert_true(metadata_plans_get(plans, &study, &found));
        assert_int_equal(found.version, version);
        assert_memory_equal(found.parts, plan.parts, sizeof *plan.parts);
        metadata_plan_destroy(&found);
        metadata_plan_destroy(&plan);
    }
    assert_false(is_remembered(plans, &series));
    metadata_plans_destroy(&plans);
}

static void without_version_or_end_it_is_not_kept(void **state)
{
    enum { MANY = METADATA_PLAN_PARTS_MAX + 1 };
    static const struct {
        size_t count;
        uint64_t version;
        bool kept;
    } cases[] = {{1, 1, true}, {1, 0, false}, {MANY - 1, 1, true}, {MANY, 1, false}};
    (void)state;
    AUTO_FREE location_t *places = memory_allocate(MANY * sizeof *places);
    for (int i = 0; i < MANY; i++) {
        AUTO_FREE char *series = memory_format("1.9.%d", i);
        place_make(&places[i], series, i);
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        metadata_plans_t *plans = metadata_plans_create();
        locations_t all = {.items = places, .count = cases[i].count, .version = cases[i].version};
        target_t target = {.study = "1.9"};
        metadata_plan_t plan;
        metadata_plan_make(&all, &plan);
        metadata_plans_put(plans, &target, &plan);
        assert_int_equal(is_remembered(plans, &target), cases[i].kept);
        metadata_plan_destroy(&plan);
        metadata_plans_destroy(&plans);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_its_series_and_their_records),
        cmocka_unit_test(the_newer_takes_the_place),
        cmocka_unit_test(without_version_or_end_it_is_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
