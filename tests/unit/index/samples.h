#ifndef ZPACS_TESTS_INDEX_SAMPLES_H
#define ZPACS_TESTS_INDEX_SAMPLES_H

#include "support.h"

/* A few instances that differ in what matters, and what is done to them: for the tests of how records
 * become rows, and cease to be. */
#define STUDY  "2.1"
#define SERIES "2.1.0"

/* clang-format off */
static const sample_t first = {"2.1.1", STUDY, SERIES, "First^A", "P1", "20210101", "10", "CT", "1", "A", "one", 1000};
static const sample_t again = {"2.1.1", STUDY, SERIES, "First^A", "P1", "20210101", "10", "CT", "1", "A", "one", 2000};
static const sample_t other_bytes = {"2.1.1", STUDY, SERIES, "Other^B", "P1", "20210101", "10", "CT", "1", "A", "two", 3000};
static const sample_t other_study = {"2.1.1", "2.9", "2.9.0", "First^A", "P1", "20210101", "10", "CT", "1", "A", "one", 4000};
static const sample_t second = {"2.1.2", STUDY, SERIES, "Second^C", "P1", "20210101", "10", "CT", "2", "A", "three", 500};
static const sample_t in_series_2 = {"2.1.3", STUDY, "2.1.9", "First^A", "P1", "20210101", "10", "SR", "1", "A", "one", 6000};
static const sample_t elsewhere = {"2.2.1", "2.2", "2.2.0", "Else^D", "P2", "20220101", "11", "MR", "1", "B", "four", 7000};
/* clang-format on */

static inline int setup(void **state)
{
    static bench_t bench;
    bench_open(&bench);
    *state = &bench;
    return 0;
}

static inline int teardown(void **state)
{
    bench_close(*state);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static inline void rebuild(bench_t *bench)
{
    assert_true(index_lock(bench->index, INT64_MAX));
    assert_int_equal(rebuild_start(bench->index), STATUS_OK);
    assert_true(atomic_load(&bench->index->rebuilding));
    index_unlock(bench->index);
    index_wait(bench->index);
    assert_false(atomic_load(&bench->index->rebuilding));
}

static inline status_t delete_and_count(bench_t *bench, const char *study, const char *series,
                                        const char *sop, uint64_t *out_instances)
{
    Index__Delete what = INDEX__DELETE__INIT;
    what.scope = everything();
    what.study_instance_uid = (char *)study;
    what.series_instance_uid = (char *)series;
    what.sop_instance_uid = (char *)sop;
    what.user = (char *)"tester";
    return remove_run(bench->index, &what, out_instances);
}

static inline status_t delete (bench_t *bench, const char *study, const char *series,
                               const char *sop)
{
    uint64_t gone = 0;
    return delete_and_count(bench, study, series, sop, &gone);
}

#endif
