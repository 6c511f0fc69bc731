#include "samples.h"

#include "index/compaction/compaction.h"
#include "pack/file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

/* Deletion to its end: bytes go, what lives stays, whatever is interrupted; and the rows are those of a
 * rebuild at any time. */

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
    lines_append(bench,
                 "SELECT sop_instance_uid || ' ' || origin_pack || ' ' || origin_sequence"
                 " FROM instances UNION ALL SELECT 'aside ' || sop_instance_uid || ' '"
                 " || origin_pack || ' ' || origin_sequence FROM copies WHERE conflict = 1"
                 " UNION ALL SELECT name || ' ' || value FROM counters WHERE value <> 0"
                 " UNION ALL SELECT 'from ' || source || ' ' || instances FROM sources"
                 " WHERE instances <> 0"
                 " ORDER BY 1",
                 out);
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
        char sop[24];
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
        char sop[24];
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
        char sop[24];
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

/* ---- undelete ---------------------------------------------------------------------------------- */

static status_t undelete(bench_t *bench, const char *study, const char *series, const char *sop,
                         uint64_t *out_back, uint64_t *out_gone)
{
    Index__Undelete what = INDEX__UNDELETE__INIT;
    Index__Undeleted reply = INDEX__UNDELETED__INIT;
    what.scope = everything();
    what.study_instance_uid = (char *)study;
    what.series_instance_uid = (char *)series;
    what.sop_instance_uid = (char *)sop;
    what.user = (char *)"tester";
    status_t status = undelete_run(bench->index, &what, &reply);
    *out_back = reply.instances;
    *out_gone = reply.gone;
    return status;
}

static void test_undelete(void **state)
{
    static const struct {
        const char *series, *sop;
        uint64_t back;
    } cases[] = {{"", "", 2}, {SERIES, "", 2}, {SERIES, "2.1.1", 1}};
    bench_t *bench = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_BUFFER before = {0};
        uint64_t back = 0, gone = 0;
        (void)bench_store(bench, (sample_t[]){first, again, second, other_bytes, elsewhere}, 5);
        says(bench, &before);
        assert_int_equal(undelete(bench, STUDY, cases[i].series, cases[i].sop, &back, &gone),
                         STATUS_NOT_FOUND);
        assert_int_equal(delete (bench, STUDY, cases[i].series, cases[i].sop), STATUS_OK);
        assert_rebuild_says_the_same(bench);
        assert_int_equal(undelete(bench, STUDY, cases[i].series, cases[i].sop, &back, &gone),
                         STATUS_OK);
        assert_int_equal(back, cases[i].back);
        assert_int_equal(gone, 0);
        assert_says(bench, &before);
        assert_int_equal(count(bench, "SELECT COUNT(*) FROM buried"), 0);
        assert_int_equal(count(bench, "SELECT COUNT(*) FROM tombstones"), 0);
        assert_rebuild_says_the_same(bench);
        compact_all(bench);
        assert_says(bench, &before);
        assert_all_readable(bench);
        bench_close(bench);
        bench_open(bench);
    }
}

/* Half of it is gone for good: the answer says so. */
static void test_undelete_of_what_is_left(void **state)
{
    bench_t *bench = *state;
    uint64_t back = 0, gone = 0;
    pack_writer_t *writer = NULL;
    (void)bench_store(bench, &first, 1);
    assert_int_equal(pack_writer_create(bench->folder, &writer), STATUS_OK);
    (void)sample_write(writer, &second); /* in a pack that is still open: it is not compacted */
    ulid_t pack = pack_writer_pack(writer);
    uint64_t committed = 0;
    assert_int_equal(
        ingest_pack(bench->index, &pack, pack_writer_durable_offset(writer), &committed),
        STATUS_OK);
    assert_int_equal(delete (bench, STUDY, "", ""), STATUS_OK);
    compact_all(bench);
    assert_int_equal(undelete(bench, STUDY, "", "", &back, &gone), STATUS_OK);
    assert_int_equal(back, 1);
    assert_int_equal(gone, 1);
    assert_rebuild_says_the_same(bench);
    assert_int_equal(delete (bench, STUDY, "", ""), STATUS_OK);
    assert_int_equal(pack_writer_seal(bench->folder, &writer), STATUS_OK);
    compact_all(bench);
    assert_int_equal(undelete(bench, STUDY, "", "", &back, &gone), STATUS_OK);
    assert_int_equal(back, 0);
    assert_int_equal(gone, 1);
    assert_rebuild_says_the_same(bench);
}

/* Deleted twice: the other deletion stays. */
static void test_undelete_takes_back_the_latest(void **state)
{
    bench_t *bench = *state;
    uint64_t back = 0, gone = 0;
    (void)bench_store(bench, &first, 1);
    assert_int_equal(delete (bench, STUDY, "", ""), STATUS_OK);
    usleep(2000);
    (void)bench_store(bench, &second, 1);
    assert_int_equal(delete (bench, STUDY, "", ""), STATUS_OK);
    assert_int_equal(undelete(bench, STUDY, "", "", &back, &gone), STATUS_OK);
    assert_int_equal(back, 1);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM instances"), 1);
    assert_int_equal(
        count(bench, "SELECT COUNT(*) FROM instances WHERE sop_instance_uid = '2.1.2'"), 1);
    assert_rebuild_says_the_same(bench);
    assert_int_equal(undelete(bench, STUDY, "", "", &back, &gone), STATUS_OK);
    assert_int_equal(back, 1);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM instances"), 2);
}

/* It comes back while its pack is on the way out: then the pack is needed, or it was too late. */
static void test_undelete_at_each_step(void **state)
{
    enum { STEPS = 8 };
    bench_t *bench = *state;
    for (int i = 0; i < STEPS; i++) {
        uint64_t back = 0, gone = 0;
        (void)bench_store(bench, (sample_t[]){first, elsewhere, second}, 3);
        assert_int_equal(delete (bench, "2.2", "", ""), STATUS_OK);
        steps_run(bench, i);
        assert_int_equal(undelete(bench, "2.2", "", "", &back, &gone), STATUS_OK);
        assert_int_equal(back + gone, 1);
        assert_int_equal(count(bench, "SELECT COUNT(*) FROM instances"), 2 + (int64_t)back);
        assert_all_readable(bench);
        compact_all(bench);
        assert_int_equal(files_with(bench, "Else^D"), back);
        assert_all_readable(bench);
        assert_rebuild_says_the_same(bench);
        bench_close(bench);
        bench_open(bench);
    }
}

/* ---- clocks ------------------------------------------------------------------------------------ */

/* A sender's time lies before the deletion, since a clock was set back: what it sends is there. */
static void test_sent_again_with_an_older_time(void **state)
{
    bench_t *bench = *state;
    sample_t late = other_bytes, early = second;
    late.received_us = 9000;
    early.received_us = 10;
    (void)bench_store(bench, &late, 1);
    assert_int_equal(delete (bench, STUDY, "", ""), STATUS_OK);
    (void)bench_store(bench, (sample_t[]){early, first}, 2);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM instances"), 2);
    assert_rebuild_says_the_same(bench);
    compact_all(bench);
    assert_rebuild_says_the_same(bench);
}

/* ---- holds ------------------------------------------------------------------------------------- */

static status_t hold(bench_t *bench, const char *study, const char *reason)
{
    Index__Hold what = INDEX__HOLD__INIT;
    what.scope = everything();
    what.study_instance_uid = (char *)study;
    what.user = (char *)"tester";
    what.reason = (char *)reason;
    return hold_run(bench->index, &what);
}

static status_t release(bench_t *bench, const char *study)
{
    Index__Release what = INDEX__RELEASE__INIT;
    what.scope = everything();
    what.study_instance_uid = (char *)study;
    return release_run(bench->index, &what);
}

static void test_hold(void **state)
{
    bench_t *bench = *state;
    (void)bench_store(bench, (sample_t[]){first, second, elsewhere}, 3);
    assert_int_equal(hold(bench, "2.77", "a court"), STATUS_NOT_FOUND);
    assert_int_equal(hold(bench, STUDY, ""), STATUS_INVALID);
    assert_int_equal(release(bench, STUDY), STATUS_NOT_FOUND);
    assert_int_equal(hold(bench, STUDY, "a court"), STATUS_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(delete (bench, STUDY, "", ""), STATUS_CONFLICT);
        assert_non_null(strstr(fail_detail(), "a court"));
        assert_int_equal(delete (bench, STUDY, SERIES, ""), STATUS_CONFLICT);
        assert_int_equal(delete (bench, STUDY, SERIES, "2.1.1"), STATUS_CONFLICT);
        assert_int_equal(count(bench, "SELECT COUNT(*) FROM instances"), 3);
        rebuild(bench);
    }
    assert_int_equal(delete (bench, "2.2", "", ""), STATUS_OK);
    assert_int_equal(release(bench, STUDY), STATUS_OK);
    rebuild(bench);
    assert_int_equal(delete (bench, STUDY, "", ""), STATUS_OK);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM instances"), 0);
}

/* ---- conflicts --------------------------------------------------------------------------------- */

static status_t resolve(bench_t *bench, Index__Resolve__Outcome outcome, const ulid_t *from,
                        char **out_made)
{
    Index__Resolve what = INDEX__RESOLVE__INIT;
    Index__Resolved *reply = memory_allocate(sizeof *reply);
    index__resolved__init(reply);
    what.scope = everything();
    what.sop_instance_uid = (char *)"2.1.1";
    what.outcome = outcome;
    what.user = (char *)"tester";
    if (from) {
        what.origin_pack = (char *)from->text;
        what.origin_sequence = 1;
    }
    status_t status = resolve_run(bench->index, &what, reply);
    if (out_made)
        *out_made = memory_copy_text(reply->made_sop_instance_uid);
    index__resolved__free_unpacked(reply, NULL);
    return status;
}

static void test_conflict_keep_and_replace(void **state)
{
    static const struct {
        Index__Resolve__Outcome outcome;
        int64_t served;
        const char *lives, *dies;
    } cases[] = {{INDEX__RESOLVE__OUTCOME__KEEP, 1000, "First^A", "Other^B"},
                 {INDEX__RESOLVE__OUTCOME__REPLACE, 3000, "Other^B", "First^A"}};
    bench_t *bench = *state;
    for (size_t i = 0; i < 2; i++) {
        (void)bench_store(bench, (sample_t[]){first, second}, 2);
        assert_int_equal(resolve(bench, cases[i].outcome, NULL, NULL), STATUS_NOT_FOUND);
        (void)bench_store(bench, (sample_t[]){other_bytes, again}, 2);
        assert_int_equal(hold(bench, STUDY, "a trial"), STATUS_OK);
        assert_int_equal(resolve(bench, cases[i].outcome, NULL, NULL), STATUS_CONFLICT);
        assert_int_equal(release(bench, STUDY), STATUS_OK);
        assert_int_equal(resolve(bench, cases[i].outcome, NULL, NULL), STATUS_OK);
        assert_int_equal(
            count(bench, "SELECT received_us FROM instances WHERE sop_instance_uid = '2.1.1'"),
            cases[i].served);
        assert_int_equal(count(bench, "SELECT COUNT(*) FROM copies WHERE conflict = 1"), 0);
        assert_int_equal(resolve(bench, cases[i].outcome, NULL, NULL), STATUS_NOT_FOUND);
        assert_rebuild_says_the_same(bench);
        compact_all(bench);
        assert_int_equal(files_with(bench, cases[i].dies), 0);
        assert_true(files_with(bench, cases[i].lives) > 0);
        assert_rebuild_says_the_same(bench);
        /* What comes later is a conflict of its own, whatever its time. */
        sample_t later = other_bytes;
        later.received_us = 5000;
        later.description = "three";
        (void)bench_store(bench, &later, 1);
        assert_int_equal(count(bench, "SELECT COUNT(*) FROM copies WHERE conflict = 1"), 1);
        assert_rebuild_says_the_same(bench);
        bench_close(bench);
        bench_open(bench);
    }
}

static void test_conflict_of_three(void **state)
{
    bench_t *bench = *state;
    sample_t third = other_bytes;
    third.name = "Third^E";
    third.received_us = 4000;
    (void)bench_store(bench, &first, 1);
    (void)bench_store(bench, &other_bytes, 1);
    ulid_t pack = bench_store(bench, &third, 1);
    assert_int_equal(resolve(bench, INDEX__RESOLVE__OUTCOME__REPLACE, NULL, NULL), STATUS_INVALID);
    assert_int_equal(resolve(bench, INDEX__RESOLVE__OUTCOME__KEEP, &pack, NULL), STATUS_OK);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM copies WHERE conflict = 1"), 1);
    assert_rebuild_says_the_same(bench);
    compact_all(bench);
    assert_int_equal(files_with(bench, "Third^E"), 0);
    assert_int_equal(files_with(bench, "Other^B"), 1);
    assert_int_equal(resolve(bench, INDEX__RESOLVE__OUTCOME__REPLACE, NULL, NULL), STATUS_OK);
    assert_int_equal(count(bench, "SELECT received_us FROM instances"), 3000);
    assert_rebuild_says_the_same(bench);
}

static void test_conflict_keep_both(void **state)
{
    bench_t *bench = *state;
    AUTO_FREE char *made = NULL;
    AUTO_BUFFER found = {0};
    (void)bench_store(bench, (sample_t[]){first, other_bytes}, 2);
    assert_int_equal(resolve(bench, INDEX__RESOLVE__OUTCOME__KEEP_BOTH, NULL, &made), STATUS_OK);
    assert_int_equal(strncmp(made, "2.25.", 5), 0);
    assert_true(uid_is_valid(made));
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM instances"), 2);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM copies WHERE conflict = 1"), 0);
    assert_int_equal(count(bench, "SELECT instance_count FROM studies"), 2);
    term_t term = {0x00080018, made};
    assert_int_equal(bench_find(bench, LEVEL_INSTANCE, &term, 1, false, &found), STATUS_OK);
    assert_int_equal(lines_count(&found), 1);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM instances WHERE received_us = 3000"), 1);
    assert_all_readable(bench);
    assert_rebuild_says_the_same(bench);
    compact_all(bench);
    assert_all_readable(bench);
    assert_rebuild_says_the_same(bench);
}

/* It lives on inflated; a repeat, as after a crash before the RESOLVE, makes the same bytes. */
static void test_conflict_keep_both_deflated(void **state)
{
    bench_t *bench = *state;
    AUTO_FREE char *made = NULL;
    AUTO_BUFFER expected = {0};
    uint8_t digest[DIGEST_SIZE];
    uid_text_t same_uid;
    sample_t expected_sample = other_bytes;
    pack_record_t repeated;
    pack_writer_t *writer = NULL;
    uint64_t committed = 0;
    (void)bench_store(bench, &first, 1);
    assert_int_equal(pack_writer_create(bench->folder, &writer), STATUS_OK);
    pack_record_t old = sample_write_in(writer, &other_bytes, DICOM_DEFLATED_LITTLE);
    assert_int_equal(pack_writer_seal(bench->folder, &writer), STATUS_OK);
    assert_int_equal(ingest_pack(bench->index, &old.pack, old.next_offset, &committed), STATUS_OK);
    assert_int_equal(remake_run(bench->index, &old, same_uid, &repeated), STATUS_OK);
    assert_int_equal(resolve(bench, INDEX__RESOLVE__OUTCOME__KEEP_BOTH, NULL, &made), STATUS_OK);
    assert_string_equal(made, same_uid);
    expected_sample.sop = made;
    dataset_make(&expected, &expected_sample);
    digest_of(DIGEST_BLAKE3, expected.data, expected.length, digest);
    assert_memory_equal(repeated.dataset_digest, digest, DIGEST_SIZE);
    assert_string_equal(repeated.transfer_syntax_uid, DICOM_EXPLICIT_LITTLE);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM instances"), 2);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM copies WHERE conflict = 1"), 0);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM instances WHERE transfer_syntax_uid ="
                                  " '1.2.840.10008.1.2.1'"),
                     2);
    assert_all_readable(bench);
    assert_rebuild_says_the_same(bench);
    compact_all(bench);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM instances"), 2);
    assert_all_readable(bench);
}

/* ---- times ------------------------------------------------------------------------------------- */

/* A deletion of "2.2" as it would have been written at another time. */
static void delete_at(bench_t *bench, const ulid_t *pack, uint64_t sequence, int64_t deleted_us)
{
    pack_record_t record;
    Pack__Tombstone tombstone = PACK__TOMBSTONE__INIT;
    Pack__Origin last = PACK__ORIGIN__INIT, *named = &last;
    last.pack = (char *)pack->text;
    last.sequence = sequence;
    tombstone.deleted_us = (uint64_t)deleted_us;
    tombstone.study_instance_uid = (char *)"2.2";
    tombstone.last_records = &named;
    tombstone.n_last_records = 1;
    tombstone.instances = 1;
    assert_int_equal(event_write(bench->index, PACK_RECORD_TOMBSTONE, &tombstone.base, &record),
                     STATUS_OK);
    assert_int_equal(event_take_in(bench->index, &record), STATUS_OK);
}

static int64_t dead_since(bench_t *bench)
{
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM buried"), 1);
    return count(bench, "SELECT since_us FROM buried");
}

#define HOUR_US (INT64_C(3600) * 1000000)

/* Bytes are due by the time of the deletion, in whichever order its record and theirs are read. */
static void test_rebuild_does_not_begin_the_time_anew(void **state)
{
    bench_t *bench = *state;
    int64_t long_ago = clock_wall_us() - 2 * HOUR_US;
    bench->config.compact_after_seconds = 3600;
    for (int tombstone_first = 0; tombstone_first < 2; tombstone_first++) {
        (void)bench_store(bench, &first, 1);
        if (tombstone_first) { /* the pack of decisions is older than that of the image */
            assert_int_equal(hold(bench, STUDY, "a court"), STATUS_OK);
            usleep(2000);
        }
        ulid_t pack = bench_store(bench, (sample_t[]){second, elsewhere}, 2);
        delete_at(bench, &pack, 2, long_ago);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(dead_since(bench), long_ago);
            rebuild(bench);
        }
        compact_all(bench);
        assert_int_equal(files_with(bench, "Else^D"), 0);
        (void)bench_store(bench, &elsewhere, 1); /* sent again, and deleted just now */
        assert_int_equal(delete (bench, "2.2", "", ""), STATUS_OK);
        int64_t since = dead_since(bench);
        rebuild(bench);
        assert_int_equal(dead_since(bench), since);
        compact_all(bench);
        assert_int_equal(files_with(bench, "Else^D"), 1);
        bench_close(bench);
        bench_open(bench);
        bench->config.compact_after_seconds = 3600;
    }
}

/* The same of what a decision about a conflict has rejected. */
static void test_rebuild_does_not_begin_the_time_of_a_loser_anew(void **state)
{
    bench_t *bench = *state;
    for (int i = 0; i < 2; i++) {
        (void)bench_store(bench, (sample_t[]){first, other_bytes}, 2);
        assert_int_equal(
            resolve(bench, i ? INDEX__RESOLVE__OUTCOME__REPLACE : INDEX__RESOLVE__OUTCOME__KEEP,
                    NULL, NULL),
            STATUS_OK);
        int64_t since = dead_since(bench);
        usleep(2000);
        rebuild(bench);
        assert_int_equal(dead_since(bench), since);
        bench_close(bench);
        bench_open(bench);
    }
}

/* A deletion older than what it deletes, or yet to come: some clock is wrong, and the time begins when
 * it is read. */
static void test_impossible_times_begin_the_time_anew(void **state)
{
    bench_t *bench = *state;
    int64_t hours[] = {-2, 2};
    for (int i = 0; i < 2; i++) {
        sample_t recent = elsewhere;
        recent.received_us = clock_wall_us() - HOUR_US;
        ulid_t pack = bench_store(bench, &recent, 1);
        for (int rebuilt = 0; rebuilt < 2; rebuilt++) {
            int64_t before = clock_wall_us();
            if (rebuilt)
                rebuild(bench);
            else
                delete_at(bench, &pack, 1, before + hours[i] * HOUR_US);
            assert_in_range(dead_since(bench), before, clock_wall_us());
        }
        bench_close(bench);
        bench_open(bench);
    }
}

/* As if the calendar had jumped since the last look. */
static void jump(bench_t *bench, int64_t ahead_us)
{
    bench->index->calendar_us -= ahead_us;
}

/* A calendar that jumps ahead lets nothing go before its time: neither what is dead nor what is retired. */
static void test_jump_ahead_shortens_no_time(void **state)
{
    bench_t *bench = *state;
    compaction_job_t job;
    (void)bench_store(bench, (sample_t[]){first, elsewhere}, 2);
    assert_int_equal(delete (bench, "2.2", "", ""), STATUS_OK);
    int64_t since = dead_since(bench);
    bench->config.compact_after_seconds = bench->config.retire_grace_seconds = 3600;
    bench->index->calendar_us -= 2 * HOUR_US; /* it was two hours less when all this happened, */
    assert_int_equal(database_execute(bench->index->writer,
                                      "UPDATE buried SET since_us = since_us - 7200000000"),
                     STATUS_OK);
    compact_all(bench); /* and now it is put right */
    assert_int_equal(files_with(bench, "Else^D"), 1);
    assert_in_range(dead_since(bench), since - 1000, clock_wall_us());
    bench->config.compact_after_seconds = 0;
    assert_int_equal(compaction_choose(bench->index, &job), STATUS_OK);
    assert_int_equal(compaction_copy(bench->index, &job), STATUS_OK);
    assert_int_equal(compaction_take_in(bench->index, &job), STATUS_OK);
    jump(bench, 2 * HOUR_US);
    assert_int_equal(database_execute(bench->index->writer,
                                      "UPDATE packs SET retired_us = retired_us - 7200000000"
                                      " WHERE retired_us > 0"),
                     STATUS_OK);
    assert_int_equal(compaction_remove(bench->index), STATUS_OK);
    assert_int_equal(files_with(bench, "Else^D"), 1);
    bench->config.retire_grace_seconds = 0;
    assert_int_equal(compaction_remove(bench->index), STATUS_OK);
    assert_int_equal(files_with(bench, "Else^D"), 0);
    assert_all_readable(bench);
}

/* What lies ahead of the calendar was noted by a clock that was wrong: nothing waits for that day. */
static void test_nothing_waits_for_a_day_far_ahead(void **state)
{
    static const char *const wrong[] = {
        "UPDATE buried SET since_us = since_us + 864000000000000",
        "UPDATE packs SET held_until_us = $1 + 864000000000000",
        "UPDATE packs SET retired_us = $1 + 864000000000000 WHERE retired_us > 0",
        "UPDATE packs SET held_until_us = $1 + 864000000000000 WHERE retired_us > 0"};
    bench_t *bench = *state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        statement_t *update = NULL;
        (void)bench_store(bench, (sample_t[]){first, elsewhere}, 2);
        assert_int_equal(delete (bench, "2.2", "", ""), STATUS_OK);
        if (strstr(wrong[i], "retired"))
            steps_run(bench, 3);
        assert_int_equal(database_prepare(bench->index->writer, wrong[i], &update), STATUS_OK);
        if (strstr(wrong[i], "$1"))
            statement_bind_int64(update, 1, clock_wall_us());
        assert_int_equal(statement_run(update), STATUS_OK);
        assert_true(database_changed_rows(bench->index->writer) > 0);
        compact_all(bench);
        assert_int_equal(files_with(bench, "Else^D"), 0);
        assert_all_readable(bench);
        bench_close(bench);
        bench_open(bench);
    }
}

/* One that is held is left alone until its time. */
static void test_held_pack_waits(void **state)
{
    bench_t *bench = *state;
    statement_t *update = NULL;
    (void)bench_store(bench, (sample_t[]){first, elsewhere}, 2);
    assert_int_equal(delete (bench, "2.2", "", ""), STATUS_OK);
    assert_int_equal(
        database_prepare(bench->index->writer, "UPDATE packs SET held_until_us = $1", &update),
        STATUS_OK);
    statement_bind_int64(update, 1, clock_wall_us() + 23 * HOUR_US);
    assert_int_equal(statement_run(update), STATUS_OK);
    compact_all(bench);
    assert_int_equal(files_with(bench, "Else^D"), 1);
}

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
        TEST(test_undelete),
        TEST(test_undelete_of_what_is_left),
        TEST(test_undelete_takes_back_the_latest),
        TEST(test_undelete_at_each_step),
        TEST(test_sent_again_with_an_older_time),
        TEST(test_hold),
        TEST(test_conflict_keep_and_replace),
        TEST(test_conflict_of_three),
        TEST(test_conflict_keep_both),
        TEST(test_conflict_keep_both_deflated),
        TEST(test_rebuild_does_not_begin_the_time_anew),
        TEST(test_rebuild_does_not_begin_the_time_of_a_loser_anew),
        TEST(test_impossible_times_begin_the_time_anew),
        TEST(test_jump_ahead_shortens_no_time),
        TEST(test_nothing_waits_for_a_day_far_ahead),
        TEST(test_held_pack_waits),
    };
    return bench_run_on_both("retention", tests, sizeof tests / sizeof *tests);
}
