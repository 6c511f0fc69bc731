#include "support.h"

/*
 * Several replicas on one PostgreSQL read the same packs at once: studies, patients and instances
 * in common, duplicates, conflicts, deletions, some taken back, decisions. Whoever wins each race, the rows are those that one
 * index alone makes of these packs.
 */
enum {
    REPLICAS = 4,
    PACKS = 12,
    RECORDS = 40,
    STUDIES = 5,
    INSTANCES = 120,
    EVENTS = 64,
    ROUNDS = 3
};

static uint64_t seed;

static unsigned next(unsigned below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(seed >> 33) % below;
}

/* ---- the packs --------------------------------------------------------------------------------- */

/* What was written: events speak of it. */
typedef struct {
    ulid_t pack;
    uint64_t sequence;
    char sop[32], study[32], series[40];
    int64_t received_us;
} written_t;

static written_t instances[PACKS * RECORDS], tombstones[PACKS];
static size_t instance_count, tombstone_count;

static void writ(written_t *written, const pack_record_t *record)
{
    written->pack = record->origin_pack;
    written->sequence = record->origin_sequence;
}

/* An instance again and again: often the same bytes, at times others, rarely in another study. */
static void record_write(pack_writer_t *writer, int64_t received_us)
{
    char number[8], patient[8], description[24];
    written_t *it = &instances[instance_count++];
    unsigned instance = next(INSTANCES);
    unsigned in_study = next(20) == 0 ? next(STUDIES) : instance % STUDIES;
    snprintf(it->sop, sizeof it->sop, "2.3.%u", instance + 1);
    snprintf(it->study, sizeof it->study, "2.4.%u", in_study + 1);
    snprintf(it->series, sizeof it->series, "2.4.%u.%u", in_study + 1, instance % 3 + 1);
    snprintf(number, sizeof number, "%u", instance);
    snprintf(patient, sizeof patient, "P%u", in_study % 2);
    snprintf(description, sizeof description, "bytes %u", next(6) == 0 ? next(3) : 0);
    sample_t sample = {it->sop, it->study, it->series, "Name^A", patient,     "20260101",
                       "10",    "CT",      number,     "A",      description, received_us};
    pack_record_t record = sample_write(writer, &sample);
    it->received_us = received_us;
    writ(it, &record);
}

static pack_record_t event_put(pack_writer_t *writer, pack_record_type_t type,
                               const ProtobufCMessage *message)
{
    pack_record_t record = {0};
    size_t length = protobuf_c_message_get_packed_size(message);
    AUTO_FREE uint8_t *bytes = memory_allocate(length + 1);
    protobuf_c_message_pack(message, bytes);
    assert_int_equal(pack_writer_begin(writer, type, length), STATUS_OK);
    assert_int_equal(pack_writer_commit(writer, bytes, length, &record), STATUS_OK);
    return record;
}

/* Of a study, a series or an instance; by time, or by the records of some packs. */
static void tombstone_write(pack_writer_t *writer)
{
    enum { NAMED_MAX = 6 };
    const written_t *what = &instances[next((unsigned)instance_count)];
    Pack__Origin named[NAMED_MAX], *pointers[NAMED_MAX];
    Pack__Tombstone tombstone = PACK__TOMBSTONE__INIT;
    unsigned level = next(3);
    tombstone.study_instance_uid = (char *)what->study;
    if (level > 0)
        tombstone.series_instance_uid = (char *)what->series;
    if (level > 1)
        tombstone.sop_instance_uid = (char *)what->sop;
    tombstone.deleted_us = next(1000);
    tombstone.received_up_to_us = 1000 + next(500000);
    tombstone.last_records = pointers;
    for (tombstone.n_last_records = 0; next(3) > 0 && tombstone.n_last_records < NAMED_MAX;) {
        const written_t *last = &instances[next((unsigned)instance_count)];
        Pack__Origin *origin = &named[tombstone.n_last_records];
        pack__origin__init(origin);
        origin->pack = (char *)last->pack.text;
        origin->sequence = last->sequence;
        pointers[tombstone.n_last_records++] = origin;
    }
    pack_record_t record = event_put(writer, PACK_RECORD_TOMBSTONE, &tombstone.base);
    written_t *it = &tombstones[tombstone_count++ % PACKS];
    *it = *what;
    writ(it, &record);
}

static void restore_write(pack_writer_t *writer)
{
    const written_t *what =
        &tombstones[next((unsigned)(tombstone_count < PACKS ? tombstone_count : PACKS))];
    Pack__Restore restore = PACK__RESTORE__INIT;
    Pack__Origin origin = PACK__ORIGIN__INIT;
    origin.pack = (char *)what->pack.text;
    origin.sequence = what->sequence;
    restore.tombstone = &origin;
    restore.study_instance_uid = (char *)what->study;
    (void)event_put(writer, PACK_RECORD_RESTORE, &restore.base);
}

static void hold_write(pack_writer_t *writer)
{
    char reason[16];
    Pack__Hold hold = PACK__HOLD__INIT;
    snprintf(reason, sizeof reason, "reason %u", next(1000));
    hold.changed_us = next(4); /* often the same: then the larger origin counts */
    hold.study_instance_uid = (char *)instances[next((unsigned)instance_count)].study;
    hold.released = next(2) == 1;
    hold.reason = reason;
    (void)event_put(writer, PACK_RECORD_HOLD, &hold.base);
}

/* Of two records of one instance one wins; with equal times others may have decided otherwise. */
static void resolve_write(pack_writer_t *writer)
{
    const written_t *kept = &instances[next((unsigned)instance_count)], *lost = NULL;
    Pack__Resolve resolve = PACK__RESOLVE__INIT;
    Pack__Origin origin = PACK__ORIGIN__INIT, *others[] = {&origin};
    char *studies[2] = {(char *)kept->study, (char *)kept->study};
    for (size_t i = 0; i < instance_count; i++)
        if (&instances[i] != kept && strcmp(instances[i].sop, kept->sop) == 0 && (!lost || next(2)))
            lost = &instances[i];
    resolve.resolved_us = next(4);
    resolve.sop_instance_uid = (char *)kept->sop;
    resolve.kept_pack = (char *)kept->pack.text;
    resolve.kept_sequence = kept->sequence;
    resolve.study_instance_uids = studies;
    resolve.n_study_instance_uids = 2;
    if (lost && next(4) > 0) {
        resolve.outcome = PACK__RESOLVE__OUTCOME__KEEP;
        origin.pack = (char *)lost->pack.text;
        origin.sequence = lost->sequence;
        studies[1] = (char *)lost->study;
        resolve.others = others;
        resolve.n_others = 1;
    }
    (void)event_put(writer, PACK_RECORD_RESOLVE, &resolve.base);
}

/* Events lie in any of the packs: they are read before and after what they speak of. */
static void packs_write(const char *folder)
{
    pack_writer_t *writers[PACKS];
    instance_count = tombstone_count = 0;
    for (int i = 0; i < PACKS; i++) {
        assert_int_equal(pack_writer_create(folder, &writers[i]), STATUS_OK);
        for (int k = 0; k < RECORDS; k++)
            record_write(writers[i], 1000 + (int64_t)next(1000000));
    }
    for (int i = 0; i < EVENTS; i++) {
        pack_writer_t *writer = writers[next(PACKS)];
        if (i % 4 == 0)
            tombstone_write(writer);
        else if (i % 8 == 1)
            restore_write(writer);
        else if (i % 4 == 2)
            hold_write(writer);
        else
            resolve_write(writer);
    }
    for (int i = 0; i < PACKS; i++)
        assert_int_equal(pack_writer_seal(folder, &writers[i]), STATUS_OK);
}

/* Beside answers(): what is dead, and what was decided. */
static void decisions(bench_t *bench, buffer_t *out)
{
    lines_append(bench,
                 "SELECT 'buried ' || origin_pack || ' ' || origin_sequence FROM buried"
                 " UNION ALL SELECT 'hold ' || study_instance_uid || ' ' || released ||"
                 " reason FROM holds UNION ALL SELECT 'verdict ' || pack || sequence || ' '"
                 " || is_rejected FROM verdicts UNION ALL SELECT 'tombstone ' ||"
                 " origin_pack || origin_sequence || pack FROM tombstones ORDER BY 1",
                 out);
}

/* ---- the replicas ------------------------------------------------------------------------------ */

/* One replica, from start to a clean end: its replay reads all packs, in turn with the others'. */
static pid_t replica_start(const bench_t *bench, int number)
{
    pid_t pid = fork();
    if (pid)
        return pid;
    char name[24];
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
    decisions(&single, out);
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
        decisions(&bench, &found);
        assert_int_equal(count(&bench, "SELECT COUNT(*) FROM changes WHERE sequence IS NULL"), 0);
        assert_int_equal(count(&bench, "SELECT COUNT(*) FROM packs WHERE sealed = 1"), PACKS);
        assert_true(count(&bench, "SELECT COUNT(*) FROM buried") > 0);
        assert_true(count(&bench, "SELECT COUNT(*) FROM restores") > 0);
        assert_true(count(&bench, "SELECT COUNT(*) FROM verdicts WHERE is_rejected = 1") > 0);
        bench_stop(&bench);
        alone(&bench, &expected);
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
