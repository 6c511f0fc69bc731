#include "support.h"

/*
 * Several replicas on one PostgreSQL read the same packs at once: studies, patients and instances
 * in common, duplicates, conflicts, deletions. Whoever wins each race, the rows are those that one
 * index alone makes of these packs.
 */
enum { REPLICAS = 4, PACKS = 12, RECORDS = 40, STUDIES = 5, INSTANCES = 120, ROUNDS = 3 };

static uint64_t seed;

static unsigned next(unsigned below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(seed >> 33) % below;
}

/* An instance again and again: often the same bytes, at times others, rarely in another study. */
static void record_write(pack_writer_t *writer, int64_t received_us)
{
    char sop[32], study[32], series[40], number[8], patient[8], description[24];
    unsigned instance = next(INSTANCES);
    unsigned in_study = next(20) == 0 ? next(STUDIES) : instance % STUDIES;
    snprintf(sop, sizeof sop, "2.3.%u", instance + 1);
    snprintf(study, sizeof study, "2.4.%u", in_study + 1);
    snprintf(series, sizeof series, "2.4.%u.%u", in_study + 1, instance % 3 + 1);
    snprintf(number, sizeof number, "%u", instance);
    snprintf(patient, sizeof patient, "P%u", in_study % 2);
    snprintf(description, sizeof description, "bytes %u", next(6) == 0 ? next(3) : 0);
    sample_t sample = {sop,  study, series, "Name^A", patient,     "20260101",
                       "10", "CT",  number, "A",      description, received_us};
    (void)sample_write(writer, &sample);
}

static void tombstone_write(pack_writer_t *writer, int64_t received_up_to_us)
{
    char study[32];
    pack_record_t record = {0};
    Pack__Tombstone tombstone = PACK__TOMBSTONE__INIT;
    snprintf(study, sizeof study, "2.4.%u", next(STUDIES) + 1);
    tombstone.study_instance_uid = study;
    tombstone.received_up_to_us = (uint64_t)received_up_to_us;
    size_t length = pack__tombstone__get_packed_size(&tombstone);
    AUTO_FREE uint8_t *bytes = memory_allocate(length);
    pack__tombstone__pack(&tombstone, bytes);
    assert_int_equal(pack_writer_begin(writer, PACK_RECORD_TOMBSTONE, length), STATUS_OK);
    assert_int_equal(pack_writer_commit(writer, bytes, length, &record), STATUS_OK);
}

static void packs_write(const char *folder)
{
    for (int i = 0; i < PACKS; i++) {
        pack_writer_t *writer = NULL;
        assert_int_equal(pack_writer_create(folder, &writer), STATUS_OK);
        for (int k = 0; k < RECORDS; k++)
            record_write(writer, 1000 + (int64_t)next(1000000));
        if (i % 4 == 3)
            tombstone_write(writer, 1000 + (int64_t)next(500000));
        assert_int_equal(pack_writer_seal(folder, &writer), STATUS_OK);
    }
}

/* One replica, from start to a clean end: its replay reads all packs, in turn with the others'. */
static pid_t replica_start(const bench_t *bench, int number)
{
    pid_t pid = fork();
    if (pid)
        return pid;
    char name[16];
    index_t *index = NULL;
    index_config_t config = bench->config;
    snprintf(name, sizeof name, "replica%d", number);
    config.replica = name;
    if (index_open(&config, &index) != STATUS_OK)
        _exit(1);
    index_wait(index);
    index_close(&index);
    _exit(0);
}

static void replicas_run(const bench_t *bench, bool kill_one)
{
    pid_t replicas[REPLICAS];
    for (int i = 0; i < REPLICAS; i++)
        replicas[i] = replica_start(bench, i);
    if (kill_one) {
        usleep(20000 + next(200000));
        (void)kill(replicas[0], SIGKILL);
    }
    for (int i = 0; i < REPLICAS; i++) {
        int code = -1;
        assert_int_equal(waitpid(replicas[i], &code, 0), replicas[i]);
        assert_true((kill_one && i == 0) || (WIFEXITED(code) && WEXITSTATUS(code) == 0));
    }
}

static void alone(const bench_t *bench, buffer_t *out)
{
    bench_t single = {.config = bench->config};
    snprintf(single.folder, sizeof single.folder, "%s", bench->folder);
    single.config.service.data = single.folder;
    single.config.index_database = (char *)"";
    bench_start(&single);
    answers(&single, out);
    bench_stop(&single);
}

static void test_replicas_agree(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        static bench_t bench;
        AUTO_BUFFER expected = {0}, found = {0};
        seed = 20261126 + (uint64_t)round;
        bench_open(&bench);
        bench_stop(&bench);
        packs_write(bench.folder);
        replicas_run(&bench, round == 1);
        bench_start(&bench);
        assert_int_equal(changes_tend(&bench.index->rows, INT64_C(1) << 50), STATUS_OK);
        answers(&bench, &found);
        assert_int_equal(count(&bench, "SELECT COUNT(*) FROM changes WHERE sequence IS NULL"), 0);
        assert_int_equal(count(&bench, "SELECT COUNT(*) FROM packs WHERE sealed = 1"), PACKS);
        bench_stop(&bench);
        alone(&bench, &expected);
        lines_sort(&expected);
        lines_sort(&found);
        assert_true(expected.length > 1000);
        assert_string_equal(buffer_text(&expected), buffer_text(&found));
        nftw(bench.folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_replicas_agree)};
    static postgres_fixture_t postgres;
    if (!postgres_fixture_start(&postgres))
        return 1;
    bench_postgres = &postgres;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    postgres_fixture_stop(&postgres);
    return failed;
}
