#include "support.h"

#include "index/compaction.h"
#include "pack/file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

/* Deletion to its end: bytes go, what lives stays, whatever is interrupted; and the rows are those of a
 * rebuild at any time. */
#define STUDY  "2.1"
#define SERIES "2.1.0"

/* clang-format off */
static const sample_t first = {"2.1.1", STUDY, SERIES, "First^A", "P1", "20210101", "10", "CT", "1", "A", "one", 1000};
static const sample_t again = {"2.1.1", STUDY, SERIES, "First^A", "P1", "20210101", "10", "CT", "1", "A", "one", 2000};
static const sample_t other_bytes = {"2.1.1", STUDY, SERIES, "Other^B", "P1", "20210101", "10", "CT", "1", "A", "two", 3000};
static const sample_t second = {"2.1.2", STUDY, SERIES, "Second^C", "P1", "20210101", "10", "CT", "2", "A", "three", 500};
static const sample_t elsewhere = {"2.2.1", "2.2", "2.2.0", "Else^D", "P2", "20220101", "11", "MR", "1", "B", "four", 7000};
/* clang-format on */

static int setup(void **state)
{
    static bench_t bench;
    bench_open(&bench);
    *state = &bench;
    return 0;
}

static int teardown(void **state)
{
    bench_close(*state);
    return 0;
}

static void rebuild(bench_t *bench)
{
    assert_true(index_lock(bench->index, INT64_MAX));
    assert_int_equal(rebuild_start(bench->index), STATUS_OK);
    index_unlock(bench->index);
    index_wait(bench->index);
    assert_false(atomic_load(&bench->index->rebuilding));
}

static Index__Scope *everything(void)
{
    static Index__Scope scope;
    index__scope__init(&scope);
    scope.kind = INDEX__SCOPE__KIND__ALL;
    return &scope;
}

static status_t delete (bench_t *bench, const char *study, const char *series, const char *sop)
{
    uint64_t gone = 0;
    Index__Delete what = INDEX__DELETE__INIT;
    what.scope = everything();
    what.study_instance_uid = (char *)study;
    what.series_instance_uid = (char *)series;
    what.sop_instance_uid = (char *)sop;
    what.user = (char *)"tester";
    return remove_run(bench->index, &what, &gone);
}

/* ---- what is in the packs folder --------------------------------------------------------------- */

static const char *wanted;
static size_t wanted_found, packs_found;

static int look_into(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)walk;
    if (type != FTW_F)
        return 0;
    AUTO_FREE char *bytes = memory_allocate((size_t)info->st_size + 1);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, bytes, (size_t)info->st_size), info->st_size);
    packs_found++;
    wanted_found +=
        memmem(bytes, (size_t)info->st_size, wanted, strlen(wanted)) != NULL; /* files with it */
    return 0;
}

/* Files in the packs folder that hold this text. */
static size_t files_with(const bench_t *bench, const char *text)
{
    AUTO_FREE char *path = memory_format("%s/packs", bench->folder);
    wanted = text;
    wanted_found = packs_found = 0;
    assert_int_equal(nftw(path, look_into, 16, FTW_PHYS), 0);
    return wanted_found;
}

/* What queries say, and what is aside; not where it lies. */
static void says(bench_t *bench, buffer_t *out)
{
    for (int level = LEVEL_STUDY; level <= LEVEL_INSTANCE; level++)
        assert_int_equal(bench_find(bench, (level_t)level, NULL, 0, false, out), STATUS_OK);
    AUTO_STATEMENT *rows = NULL;
    assert_int_equal(
        database_prepare(bench->reader,
                         "SELECT sop_instance_uid || ' ' || origin_pack || ' ' || origin_sequence"
                         " FROM instances UNION ALL SELECT 'aside ' || sop_instance_uid || ' '"
                         " || origin_pack || ' ' || origin_sequence FROM copies WHERE conflict = 1"
                         " UNION ALL SELECT name || ' ' || value FROM counters WHERE value <> 0"
                         " ORDER BY 1",
                         &rows),
        STATUS_OK);
    for (bool row = true;;) {
        assert_int_equal(statement_step(rows, &row), STATUS_OK);
        if (!row)
            break;
        buffer_append_text(out, statement_text(rows, 0));
        buffer_append_byte(out, '\n');
    }
}

static void assert_says(bench_t *bench, buffer_t *expected)
{
    AUTO_BUFFER found = {0};
    says(bench, &found);
    assert_string_equal(buffer_text(expected), buffer_text(&found));
}

static void assert_rebuild_says_the_same(bench_t *bench)
{
    AUTO_BUFFER before = {0};
    says(bench, &before);
    rebuild(bench);
    assert_says(bench, &before);
}

/* Rounds until nothing changes any more. */
static void compact_all(bench_t *bench)
{
    assert_int_equal(recover_scan(bench->index, true), STATUS_OK);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(compaction_round(bench->index), STATUS_OK);
        assert_int_equal(recover_scan(bench->index, true), STATUS_OK); /* seals the new one */
    }
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM packs WHERE retired_us > 0"), 0);
}

/* Every served record and every one aside can be read where the rows say. */
static void assert_all_readable(bench_t *bench)
{
    AUTO_STATEMENT *rows = NULL;
    assert_int_equal(database_prepare(bench->reader,
                                      "SELECT pack, record_offset FROM instances UNION ALL"
                                      " SELECT pack, record_offset FROM copies",
                                      &rows),
                     STATUS_OK);
    for (bool row = true;;) {
        assert_int_equal(statement_step(rows, &row), STATUS_OK);
        if (!row)
            return;
        ulid_t pack = {0};
        pack_record_t record = {0};
        snprintf(pack.text, sizeof pack.text, "%s", statement_text(rows, 0));
        assert_int_equal(pack_store_record(bench->index->store, &pack,
                                           (uint64_t)statement_int64(rows, 1), &record),
                         STATUS_OK);
        assert_int_equal(pack_store_verify(bench->index->store, &record), STATUS_OK);
    }
}

/* ---- compaction -------------------------------------------------------------------------------- */

static void test_deleted_bytes_go(void **state)
{
    bench_t *bench = *state;
    AUTO_BUFFER before = {0};
    (void)bench_store(bench, (sample_t[]){first, elsewhere, second, other_bytes}, 4);
    assert_int_equal(delete (bench, "2.2", "", ""), STATUS_OK);
    says(bench, &before);
    assert_int_equal(files_with(bench, "Else^D"), 1);
    compact_all(bench);
    assert_int_equal(files_with(bench, "Else^D"), 0);
    assert_int_equal(files_with(bench, "First^A"), 1);
    assert_int_equal(files_with(bench, "Other^B"), 1); /* aside in a conflict: kept */
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM buried"), 0);
    assert_says(bench, &before);
    assert_all_readable(bench);
    assert_rebuild_says_the_same(bench);
    assert_int_equal(delete (bench, "2.2", "", ""), STATUS_NOT_FOUND);
}

/* All of a pack is dead: it goes without a copy. */
static void test_dead_pack_goes(void **state)
{
    bench_t *bench = *state;
    (void)bench_store(bench, &first, 1);
    ulid_t pack = bench_store(bench, &elsewhere, 1);
    assert_int_equal(delete (bench, "2.2", "", ""), STATUS_OK);
    compaction_job_t job;
    assert_int_equal(recover_scan(bench->index, true), STATUS_OK);
    assert_int_equal(compaction_choose(bench->index, &job), STATUS_OK);
    assert_int_equal(job.count, 1);
    assert_string_equal(job.packs[0].pack.text, pack.text);
    assert_int_equal(compaction_copy(bench->index, &job), STATUS_OK);
    assert_string_equal(job.made.text, "");
    compact_all(bench);
    assert_int_equal(files_with(bench, "Else^D"), 0);
    assert_rebuild_says_the_same(bench);
}

/* The same bytes again are dropped with their row, when they are much of a pack. */
static void test_duplicates_go(void **state)
{
    bench_t *bench = *state;
    (void)bench_store(bench, (sample_t[]){first, second}, 2);
    (void)bench_store(bench, (sample_t[]){again, elsewhere}, 2);
    compact_all(bench);
    assert_int_equal(files_with(bench, "First^A"), 1);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM copies"), 0);
    assert_all_readable(bench);
    assert_rebuild_says_the_same(bench);
}

/* Within the time of an undelete nothing goes, also when the pack is copied for another reason. */
static void test_fresh_dead_stay(void **state)
{
    bench_t *bench = *state;
    (void)bench_store(bench, (sample_t[]){first, elsewhere}, 2);
    assert_int_equal(delete (bench, "2.2", "", ""), STATUS_OK);
    bench->config.compact_after_seconds = 3600;
    compact_all(bench);
    assert_int_equal(files_with(bench, "Else^D"), 1);
    for (int i = 0; i < COMPACTION_SMALL_COUNT; i++) {
        char sop[16];
        sample_t sample = second;
        snprintf(sop, sizeof sop, "2.1.3.%d", i);
        sample.sop = sop;
        (void)bench_store(bench, &sample, 1);
    }
    compact_all(bench);
    assert_int_equal(files_with(bench, "Else^D"), 1);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM buried"), 1);
    bench->config.compact_after_seconds = 0;
    compact_all(bench);
    assert_int_equal(files_with(bench, "Else^D"), 0);
}

static void test_small_packs_are_merged(void **state)
{
    enum { COUNT = COMPACTION_SMALL_COUNT + 4 };
    bench_t *bench = *state;
    AUTO_BUFFER before = {0};
    for (int i = 0; i < COUNT; i++) {
        char sop[16];
        sample_t sample = second;
        snprintf(sop, sizeof sop, "2.1.3.%d", i);
        sample.sop = sop;
        (void)bench_store(bench, &sample, 1);
    }
    says(bench, &before);
    compact_all(bench);
    (void)files_with(bench, "");
    assert_int_equal(packs_found, 1);
    assert_says(bench, &before);
    assert_all_readable(bench);
    assert_rebuild_says_the_same(bench);
}

/* Bytes that are no record may be one that nobody knows of: such a pack stays. */
static void test_damaged_pack_stays(void **state)
{
    bench_t *bench = *state;
    ulid_t pack = bench_store(bench, (sample_t[]){first, elsewhere}, 2);
    AUTO_FREE char *path = pack_path_sealed(bench->folder, &pack);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "damage", 6, PACK_BLOCK_SIZE + 8), 6);
    assert_int_equal(delete (bench, "2.2", "", ""), STATUS_OK);
    compact_all(bench);
    assert_int_equal(files_with(bench, "Else^D"), 1);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM packs WHERE held_until_us > 0"), 1);
}

/* A row that points to a retired pack keeps it: it is a pack like any other again. */
static void test_needed_pack_is_reprieved(void **state)
{
    bench_t *bench = *state;
    compaction_job_t job;
    (void)bench_store(bench, (sample_t[]){first, elsewhere}, 2);
    assert_int_equal(delete (bench, "2.2", "", ""), STATUS_OK);
    assert_int_equal(recover_scan(bench->index, true), STATUS_OK);
    assert_int_equal(compaction_choose(bench->index, &job), STATUS_OK);
    assert_int_equal(compaction_copy(bench->index, &job), STATUS_OK);
    job.made.text[0] = 0; /* the copy is not read: rows point to the old pack */
    assert_int_equal(compaction_take_in(bench->index, &job), STATUS_OK);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM packs WHERE retired_us > 0"), 1);
    assert_int_equal(compaction_remove(bench->index), STATUS_OK);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM packs WHERE retired_us > 0"), 0);
    assert_int_equal(files_with(bench, "Else^D"), 1);
    assert_all_readable(bench);
    compact_all(bench);
    assert_int_equal(files_with(bench, "Else^D"), 0);
    assert_all_readable(bench);
}

/* The steps of a round, one by one. */
static void steps_run(bench_t *bench, int steps)
{
    compaction_job_t job;
    assert_int_equal(recover_scan(bench->index, true), STATUS_OK);
    for (int round = 0; round < 2; round++) {
        if (steps-- > 0)
            assert_int_equal(compaction_choose(bench->index, &job), STATUS_OK);
        if (steps-- > 0)
            assert_int_equal(compaction_copy(bench->index, &job), STATUS_OK);
        if (steps-- > 0)
            assert_int_equal(compaction_take_in(bench->index, &job), STATUS_OK);
        if (steps-- > 0)
            assert_int_equal(compaction_remove(bench->index), STATUS_OK);
    }
}

/* It ends behind any step, is started again or has lost its database: nothing is lost, and the bytes go. */
static void test_end_behind_each_step(void **state)
{
    enum { STEPS = 8 };
    bench_t *bench = *state;
    for (int i = 0; i < 2 * STEPS; i++) {
        AUTO_BUFFER before = {0};
        (void)bench_store(bench, (sample_t[]){first, elsewhere, second}, 3);
        (void)bench_store(bench, (sample_t[]){other_bytes, again}, 2);
        assert_int_equal(delete (bench, "2.2", "", ""), STATUS_OK);
        says(bench, &before);
        steps_run(bench, i % STEPS);
        bench_stop(bench);
        bench_start(bench);
        if (i >= STEPS)
            rebuild(bench);
        assert_says(bench, &before);
        assert_all_readable(bench);
        compact_all(bench);
        assert_says(bench, &before);
        assert_all_readable(bench);
        assert_int_equal(files_with(bench, "Else^D"), 0);
        assert_rebuild_says_the_same(bench);
        bench_close(bench);
        bench_open(bench);
    }
}

static void child_compacts(const bench_t *bench)
{
    index_t *index = NULL;
    if (index_open(&bench->config, &index) != STATUS_OK)
        _exit(1);
    index_wait(index);
    for (;;)
        if (compaction_round(index) != STATUS_OK)
            _exit(1);
}

/* A process that compacts is killed, again and again. */
static void test_killed_while_compacting(void **state)
{
    enum { KILLS = 12, SERIES_LENGTH = 60 };
    bench_t *bench = *state;
    AUTO_BUFFER before = {0};
    for (int i = 0; i < SERIES_LENGTH; i++) {
        char sop[16];
        sample_t sample = second;
        snprintf(sop, sizeof sop, "2.1.3.%d", i);
        sample.sop = sop;
        (void)bench_store(bench, (sample_t[]){sample, elsewhere}, 2);
    }
    assert_int_equal(delete (bench, "2.2", "", ""), STATUS_OK);
    says(bench, &before);
    for (int i = 0; i < KILLS; i++) {
        int code = 0;
        bench_stop(bench);
        pid_t pid = fork();
        if (pid == 0)
            child_compacts(bench);
        usleep((useconds_t)(10000 + i * 15000));
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &code, 0), pid);
        assert_true(WIFSIGNALED(code));
        bench_start(bench);
        assert_says(bench, &before);
        assert_all_readable(bench);
    }
    compact_all(bench);
    assert_int_equal(files_with(bench, "Else^D"), 0);
    assert_says(bench, &before);
    assert_rebuild_says_the_same(bench);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_deleted_bytes_go),
        TEST(test_dead_pack_goes),
        TEST(test_duplicates_go),
        TEST(test_fresh_dead_stay),
        TEST(test_small_packs_are_merged),
        TEST(test_damaged_pack_stays),
        TEST(test_needed_pack_is_reprieved),
        TEST(test_end_behind_each_step),
        TEST(test_killed_while_compacting),
    };
    static postgres_fixture_t postgres;
    int failed = cmocka_run_group_tests_name("retention, SQLite", tests, NULL, NULL);
    if (!postgres_fixture_start(&postgres))
        return 1;
    bench_postgres = &postgres;
    failed += cmocka_run_group_tests_name("retention, PostgreSQL", tests, NULL, NULL);
    postgres_fixture_stop(&postgres);
    return failed;
}
