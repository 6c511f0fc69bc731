#include "samples.h"

#include "index/rows/schema.h"
#include "pack/file.h"

#include <fcntl.h>

/* ---- tests ------------------------------------------------------------------------------------- */

static void test_duplicate_is_stored_once(void **state)
{
    bench_t *bench = *state;
    (void)bench_store(bench, &first, 1);
    (void)bench_store(bench, &again, 1);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM instances"), 1);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM copies WHERE conflict = 1"), 0);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM changes WHERE kind = 'instance.duplicate'"),
                     1);
    assert_int_equal(count(bench, "SELECT instance_count FROM studies"), 1);
}

static void test_repeated_message_changes_nothing(void **state)
{
    bench_t *bench = *state;
    ulid_t pack = bench_store(bench, (sample_t[]){first, second}, 2);
    AUTO_BUFFER before = {0}, after = {0};
    uint64_t committed = 0;
    answers(bench, &before);
    assert_int_equal(ingest_pack(bench->index, &pack, PACK_BLOCK_SIZE, &committed), STATUS_OK);
    assert_true(committed > PACK_BLOCK_SIZE);
    answers(bench, &after);
    assert_string_equal(buffer_text(&before), buffer_text(&after));
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM changes"), 2);
}

/* Whatever the order of reading, the same record is served and the rows say the same. */
static void test_order_of_arrival_does_not_matter(void **state)
{
    static const int orders[][4] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}, {1, 3, 0, 2}};
    const sample_t *const samples[] = {&first, &other_bytes, &other_study, &second};
    AUTO_BUFFER expected = {0};
    bench_t *bench = *state;
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        AUTO_BUFFER text = {0};
        term_t everything = {0x0020000D, "2.1,2.9"};
        for (int k = 0; k < 4; k++)
            (void)bench_store(bench, samples[orders[i][k]], 1);
        for (int level = LEVEL_STUDY; level <= LEVEL_INSTANCE; level++)
            assert_int_equal(bench_find(bench, (level_t)level, &everything, 1, false, &text),
                             STATUS_OK);
        assert_int_equal(count(bench, "SELECT received_us FROM instances"
                                      " WHERE sop_instance_uid = '2.1.1'"),
                         1000);
        assert_int_equal(count(bench, "SELECT COUNT(*) FROM copies WHERE conflict = 1"), 2);
        assert_int_equal(count(bench, "SELECT value FROM counters WHERE name = 'studies'"), 1);
        /* The study's attributes are those of the instance that was received first. */
        assert_non_null(strstr(buffer_text(&text), "Second^C"));
        if (i == 0)
            buffer_append_text(&expected, buffer_text(&text));
        assert_string_equal(buffer_text(&expected), buffer_text(&text));
        bench_close(bench);
        bench_open(bench);
    }
}

/* Each conflict is in one page, the last received first, also where several came at one instant. */
static void test_conflicts_in_pages(void **state)
{
    enum { CONFLICTS = 5, PER_PAGE = 2 };
    bench_t *bench = *state;
    (void)bench_store(bench, &first, 1);
    for (int i = 0; i < CONFLICTS; i++) {
        char name[] = "Other^0";
        name[6] = (char)('0' + i);
        sample_t other = other_bytes;
        other.name = name;
        other.received_us += i / 3;
        (void)bench_store(bench, &other, 1);
    }
    AUTO_FREE char *after = memory_copy_text("");
    buffer_t seen = {0};
    size_t found = 0;
    int64_t before_us = INT64_MAX;
    do {
        Index__ListConflicts query = INDEX__LIST_CONFLICTS__INIT;
        Index__ConflictList *reply = memory_allocate(sizeof *reply);
        index__conflict_list__init(reply);
        query.limit = PER_PAGE;
        query.after = after;
        assert_int_equal(conflicts_list(bench->reader, &query, reply), STATUS_OK);
        assert_true(reply->n_conflicts > 0 && reply->n_conflicts <= PER_PAGE);
        for (size_t i = 0; i < reply->n_conflicts; i++, found++) {
            assert_true((int64_t)reply->conflicts[i]->received_us <= before_us);
            before_us = (int64_t)reply->conflicts[i]->received_us;
            assert_null(strstr(buffer_text(&seen), reply->conflicts[i]->pack));
            buffer_append_text(&seen, reply->conflicts[i]->pack);
        }
        free(after);
        after = memory_copy_text(reply->next);
        index__conflict_list__free_unpacked(reply, NULL);
    } while (*after);
    assert_int_equal(found, CONFLICTS);
    buffer_destroy(&seen);
    Index__ListConflicts nonsense = INDEX__LIST_CONFLICTS__INIT;
    Index__ConflictList none = INDEX__CONFLICT_LIST__INIT;
    nonsense.after = (char *)"1 2 3 4";
    assert_int_equal(conflicts_list(bench->reader, &nonsense, &none), STATUS_INVALID);
}

static void test_outcomes(void **state)
{
    bench_t *bench = *state;
    (void)bench_store(bench, &first, 1);
    ulid_t pack = bench_store(bench, (sample_t[]){again, other_bytes, second}, 3);
    static const int kinds[] = {INDEX__OUTCOME__KIND__DUPLICATE, INDEX__OUTCOME__KIND__CONFLICT,
                                INDEX__OUTCOME__KIND__STORED};
    Index__PackIndexed *reply = memory_allocate(sizeof *reply);
    index__pack_indexed__init(reply);
    assert_int_equal(
        ingest_outcomes(bench->index, &pack, PACK_BLOCK_SIZE, UINT64_C(1) << 30, reply), STATUS_OK);
    assert_int_equal(reply->n_outcomes, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(reply->outcomes[i]->kind, kinds[i]);
    index__pack_indexed__free_unpacked(reply, NULL);
}

static void test_delete_and_rebuild(void **state)
{
    static const struct {
        const char *name, *study, *series, *sop;
        uint64_t gone;
        int64_t left;
    } cases[] = {
        {"study", STUDY, "", "", 3, 1},
        {"series", STUDY, SERIES, "", 2, 2},
        {"instance", STUDY, SERIES, "2.1.2", 1, 3},
        {"conflicting instance", STUDY, SERIES, "2.1.1", 1, 3},
    };
    bench_t *bench = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_BUFFER before = {0}, after = {0};
        uint64_t gone = 0;
        (void)bench_store(bench, (sample_t[]){first, elsewhere, in_series_2}, 3);
        (void)bench_store(bench, (sample_t[]){second, again, other_bytes}, 3);
        assert_int_equal(
            delete_and_count(bench, cases[i].study, cases[i].series, cases[i].sop, &gone),
            STATUS_OK);
        assert_int_equal(gone, cases[i].gone);
        assert_int_equal(count(bench, "SELECT COUNT(*) FROM instances"), cases[i].left);
        assert_int_equal(count(bench, "SELECT value FROM counters WHERE name = 'instances'"),
                         cases[i].left);
        assert_int_equal(
            delete_and_count(bench, cases[i].study, cases[i].series, cases[i].sop, &gone),
            STATUS_NOT_FOUND);
        answers(bench, &before);
        rebuild(bench);
        answers(bench, &after);
        if (strcmp(buffer_text(&before), buffer_text(&after)) != 0)
            fail_msg("%s: before\n%s\nafter\n%s", cases[i].name, buffer_text(&before),
                     buffer_text(&after));
        bench_close(bench);
        bench_open(bench);
    }
}

static void test_deleted_instance_may_come_again(void **state)
{
    bench_t *bench = *state;
    AUTO_BUFFER before = {0}, after = {0};
    uint64_t gone = 0;
    (void)bench_store(bench, &first, 1);
    assert_int_equal(delete_and_count(bench, STUDY, "", "", &gone), STATUS_OK);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM studies"), 0);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM names"), 0);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM modalities"), 0);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM patients"), 0);
    (void)bench_store(bench, &again, 1);
    assert_int_equal(count(bench, "SELECT received_us FROM instances"), 2000);
    answers(bench, &before);
    rebuild(bench);
    answers(bench, &after);
    assert_string_equal(buffer_text(&before), buffer_text(&after));
}

/* An instance of another study under the same UID is served once the first is deleted. */
static void test_copy_takes_over(void **state)
{
    bench_t *bench = *state;
    uint64_t gone = 0;
    (void)bench_store(bench, (sample_t[]){first, other_study}, 2);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM studies WHERE study_instance_uid = '2.9'"),
                     0);
    assert_int_equal(delete_and_count(bench, STUDY, "", "", &gone), STATUS_OK);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM studies WHERE study_instance_uid = '2.9'"),
                     1);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM copies"), 0);
}

/* The record that would be served next has rotted: the deletion is done all the same, and the rest of
 * the study stands. */
static void test_rotted_copy_holds_nothing_up(void **state)
{
    bench_t *bench = *state;
    uint64_t gone = 0;
    (void)bench_store(bench, (sample_t[]){first, second, in_series_2}, 3);
    ulid_t pack = bench_store(bench, &other_study, 1);
    AUTO_FREE char *path = pack_path_sealed(bench->folder, &pack);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "damage", 6, PACK_BLOCK_SIZE + 8), 6);
    close(fd);
    assert_int_equal(delete_and_count(bench, STUDY, SERIES, "2.1.1", &gone), STATUS_OK);
    assert_int_equal(gone, 1);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM instances"), 2);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM tombstones"), 1);
    assert_int_equal(count(bench, "SELECT instance_count FROM studies"), 2);
}

/* Has the index read a decision that keeps the first record of a pack. */
static void resolve_store(bench_t *bench, const char *sop, const ulid_t *kept)
{
    Pack__Resolve resolve = PACK__RESOLVE__INIT;
    resolve.resolved_us = 9000;
    resolve.sop_instance_uid = (char *)sop;
    resolve.kept_pack = (char *)kept->text;
    resolve.kept_sequence = 1;
    size_t length = pack__resolve__get_packed_size(&resolve);
    AUTO_FREE uint8_t *bytes = memory_allocate(length);
    pack__resolve__pack(&resolve, bytes);
    pack_writer_t *writer = NULL;
    pack_record_t record = {0};
    uint64_t committed = 0;
    assert_int_equal(pack_writer_create(bench->folder, &writer), STATUS_OK);
    assert_int_equal(pack_writer_begin(writer, PACK_RECORD_RESOLVE, length), STATUS_OK);
    assert_int_equal(pack_writer_commit(writer, bytes, length, &record), STATUS_OK);
    ulid_t pack = pack_writer_pack(writer);
    assert_int_equal(pack_writer_seal(bench->folder, &writer), STATUS_OK);
    assert_int_equal(ingest_pack(bench->index, &pack, record.next_offset, &committed), STATUS_OK);
    assert_int_equal(committed, record.next_offset);
}

static void test_resolve(void **state)
{
    bench_t *bench = *state;
    (void)bench_store(bench, &first, 1);
    ulid_t pack = bench_store(bench, &other_bytes, 1);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM copies WHERE conflict = 1"), 1);
    resolve_store(bench, "2.1.1", &pack);
    assert_int_equal(count(bench, "SELECT received_us FROM instances"), 3000);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM copies WHERE conflict = 1"), 0);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM copies"), 1);
}

/* A writer that lives: nothing beyond what it announced. When it is gone: what is there. */
static void test_open_pack(void **state)
{
    bench_t *bench = *state;
    pack_writer_t *writer = NULL;
    assert_int_equal(pack_writer_create(bench->folder, &writer), STATUS_OK);
    (void)sample_write(writer, &first);
    ulid_t pack = pack_writer_pack(writer);
    uint64_t announced = pack_writer_durable_offset(writer);
    (void)sample_write(writer, &second);
    assert_int_equal(recover_scan(bench->index, false), STATUS_OK);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM instances"), 0);
    recover_announce(bench->index, &pack, announced);
    assert_int_equal(recover_scan(bench->index, false), STATUS_OK);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM instances"), 1);
    pack_writer_close(&writer);
    assert_int_equal(recover_scan(bench->index, false), STATUS_OK);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM instances"), 2);
}

/*
 * Another service takes a pack over at start, so that its lock is held when the index looks; it seals
 * it, and dies before it has told of it. What is in it may have been acknowledged.
 */
static void test_pack_in_other_hands_is_kept_in_mind(void **state)
{
    bench_t *bench = *state;
    pack_writer_t *writer = NULL;
    assert_int_equal(pack_writer_create(bench->folder, &writer), STATUS_OK);
    assert_int_equal(recover_scan(bench->index, false), STATUS_OK);
    assert_int_equal(atomic_load(&bench->index->lag_bytes), 0);
    (void)sample_write(writer, &first);
    (void)sample_write(writer, &second);
    uint64_t unread = pack_writer_durable_offset(writer) - PACK_BLOCK_SIZE;
    assert_int_equal(recover_scan(bench->index, true), STATUS_OK);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM instances"), 0);
    assert_int_equal(atomic_load(&bench->index->lag_bytes), unread);
    assert_int_equal(pack_writer_seal(bench->folder, &writer), STATUS_OK);
    assert_int_equal(recover_scan(bench->index, false), STATUS_OK);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM instances"), 2);
    assert_int_equal(atomic_load(&bench->index->lag_bytes), 0);
    assert_int_equal(bench->index->announced_count, 0);
}

/* The record in it was never finished: its owner removes the pack, and nobody asks for it again. */
static void test_pack_that_goes_is_forgotten(void **state)
{
    bench_t *bench = *state;
    pack_writer_t *writer = NULL;
    AUTO_FREE uint8_t *bytes = memory_allocate(4 << 20); /* more than is buffered */
    assert_int_equal(pack_writer_create(bench->folder, &writer), STATUS_OK);
    assert_int_equal(pack_writer_begin(writer, PACK_RECORD_INSTANCE, 64), STATUS_OK);
    assert_int_equal(pack_writer_append(writer, bytes, 4 << 20), STATUS_OK);
    assert_int_equal(recover_scan(bench->index, false), STATUS_OK);
    assert_true(atomic_load(&bench->index->lag_bytes) > 0);
    assert_int_equal(bench->index->announced_count, 1);
    assert_int_equal(pack_writer_seal(bench->folder, &writer), STATUS_OK);
    assert_int_equal(recover_scan(bench->index, false), STATUS_OK);
    assert_int_equal(atomic_load(&bench->index->lag_bytes), 0);
    assert_int_equal(bench->index->announced_count, 0);
}

/* A rebuild while a writer holds its pack: nothing that was there may be missing behind it. */
static void test_rebuild_with_a_living_writer(void **state)
{
    bench_t *bench = *state;
    pack_writer_t *writer = NULL;
    uint64_t committed = 0;
    assert_int_equal(pack_writer_create(bench->folder, &writer), STATUS_OK);
    (void)sample_write(writer, &first);
    ulid_t pack = pack_writer_pack(writer);
    uint64_t durable = pack_writer_durable_offset(writer);
    (void)sample_write(writer, &second); /* not announced yet */
    assert_int_equal(ingest_pack(bench->index, &pack, durable, &committed), STATUS_OK);
    rebuild(bench);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM instances"), 1);
    pack_writer_close(&writer);
}

static void pin_set(bench_t *bench, const ulid_t *pack, int64_t until_us)
{
    AUTO_STATEMENT *put = NULL;
    assert_int_equal(database_prepare(bench->index->writer,
                                      "INSERT INTO packs (pack, committed_offset, replica,"
                                      " pinned_until_us) VALUES ($1, $2, 'another', $3)"
                                      " ON CONFLICT (pack) DO UPDATE SET pinned_until_us = $3",
                                      &put),
                     STATUS_OK);
    statement_bind_text(put, 1, pack->text);
    statement_bind_int64(put, 2, PACK_BLOCK_SIZE);
    statement_bind_int64(put, 3, until_us);
    assert_int_equal(statement_run(put), STATUS_OK);
}

/* A replica whose clock is an hour ahead, and which dies, holds its packs for no hour. */
static void test_pin_of_a_wrong_clock(void **state)
{
    const int64_t second_us = 1000 * 1000;
    bench_t *bench = *state;
    pack_writer_t *writer = NULL;
    uint64_t committed = 0;
    assert_int_equal(pack_writer_create(bench->folder, &writer), STATUS_OK);
    (void)sample_write(writer, &first);
    ulid_t pack = pack_writer_pack(writer);
    uint64_t durable = pack_writer_durable_offset(writer);
    assert_int_equal(pack_writer_seal(bench->folder, &writer), STATUS_OK);
    pin_set(bench, &pack, clock_wall_us() + 2 * second_us);
    assert_int_equal(ingest_pack(bench->index, &pack, durable, &committed), STATUS_BUSY);
    pin_set(bench, &pack, clock_wall_us() + 3600 * second_us);
    assert_int_equal(ingest_pack(bench->index, &pack, durable, &committed), STATUS_OK);
    assert_int_equal(committed, durable);
}

/* One pack that cannot be read keeps none of the others out, and no rebuild from its end. */
static void test_unreadable_pack_keeps_no_other(void **state)
{
    bench_t *bench = *state;
    pack_writer_t *bad = NULL, *good = NULL;
    uint8_t zeros[PACK_BLOCK_SIZE] = {0};
    assert_int_equal(pack_writer_create(bench->folder, &bad), STATUS_OK);
    (void)sample_write(bad, &first);
    assert_int_equal(pwrite(pack_writer_fd(bad), zeros, sizeof zeros, 0), sizeof zeros);
    assert_int_equal(pack_writer_seal(bench->folder, &bad), STATUS_OK);
    usleep(2000); /* another millisecond in its ULID: read behind the other */
    assert_int_equal(pack_writer_create(bench->folder, &good), STATUS_OK);
    (void)sample_write(good, &second);
    assert_int_equal(pack_writer_seal(bench->folder, &good), STATUS_OK);
    rebuild(bench);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM instances"), 1);
    assert_int_equal(recover_scan(bench->index, true), STATUS_OK);
}

/* Messages lost, the index off: at the next start everything is found. */
static void test_start_finds_all(void **state)
{
    bench_t *bench = *state;
    pack_writer_t *sealed = NULL, *open = NULL;
    bench_stop(bench);
    assert_int_equal(pack_writer_create(bench->folder, &sealed), STATUS_OK);
    (void)sample_write(sealed, &first);
    assert_int_equal(pack_writer_seal(bench->folder, &sealed), STATUS_OK);
    assert_int_equal(pack_writer_create(bench->folder, &open), STATUS_OK);
    (void)sample_write(open, &second);
    pack_writer_close(&open);
    bench_start(bench);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM instances"), 2);
}

static void test_damaged_record_is_left_out(void **state)
{
    bench_t *bench = *state;
    pack_writer_t *writer = NULL;
    assert_int_equal(pack_writer_create(bench->folder, &writer), STATUS_OK);
    (void)sample_write(writer, &first);
    pack_record_t middle = sample_write(writer, &second);
    (void)sample_write(writer, &elsewhere);
    ulid_t pack = pack_writer_pack(writer);
    uint64_t durable = pack_writer_durable_offset(writer), committed = 0;
    assert_int_equal(pwrite(pack_writer_fd(writer), "damage", 6, (off_t)middle.offset + 8), 6);
    assert_int_equal(pack_writer_seal(bench->folder, &writer), STATUS_OK);
    assert_int_equal(ingest_pack(bench->index, &pack, durable, &committed), STATUS_OK);
    assert_int_equal(committed, durable);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM instances"), 2);
}

/* One crash over a record that is read well the next time is forgotten. */
static void test_crash_of_another_cause(void **state)
{
    bench_t *bench = *state;
    pack_writer_t *writer = NULL;
    assert_int_equal(pack_writer_create(bench->folder, &writer), STATUS_OK);
    pack_record_t record = sample_write(writer, &first);
    bench_stop(bench);
    bench_start(bench);
    progress_enter(&bench->index->progress, &record.pack, record.offset);
    bench_stop(bench);
    pack_writer_close(&writer);
    bench_start(bench);
    assert_int_equal(count(bench, "SELECT unreadable FROM instances"), 0);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM attempts"), 0);
}

/* A record that crashed the index twice is taken by its provenance alone. */
static void test_poison(void **state)
{
    bench_t *bench = *state;
    pack_writer_t *writer = NULL;
    assert_int_equal(pack_writer_create(bench->folder, &writer), STATUS_OK);
    pack_record_t record = sample_write(writer, &first);
    bench_stop(bench);
    for (int crash = 0; crash < 2; crash++) {
        bench_start(bench); /* the writer lives and has announced nothing: not read yet */
        assert_int_equal(count(bench, "SELECT COUNT(*) FROM instances"), 0);
        progress_enter(&bench->index->progress, &record.pack, record.offset);
        bench_stop(bench);
    }
    pack_writer_close(&writer);
    bench_start(bench);
    assert_int_equal(count(bench, "SELECT unreadable FROM instances"), 1);
    assert_int_equal(count(bench, "SELECT attempts FROM attempts"), 2); /* also for a rebuild */
    assert_int_equal(
        count(bench, "SELECT COUNT(*) FROM changes WHERE kind = 'instance.unreadable'"), 1);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM studies WHERE patient_id = ''"), 1);
}

static void test_damaged_database_is_rebuilt(void **state)
{
    bench_t *bench = *state;
    AUTO_BUFFER before = {0}, after = {0};
    if (bench_postgres) /* mends itself, or has an operator */
        skip();
    (void)bench_store(bench, (sample_t[]){first, second, other_bytes}, 3);
    answers(bench, &before);
    AUTO_FREE char *path = memory_copy_text(bench->index->location);
    bench_stop(bench);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, "this is no database, whatever it was", 36), 36);
    bench_start(bench);
    answers(bench, &after);
    assert_string_equal(buffer_text(&before), buffer_text(&after));
}

/* ---- texts ------------------------------------------------------------------------------------- */

/* A message and a dataset as a record of their own, read by the index. */
static void record_take_in(bench_t *bench, pack_record_type_t type, const ProtobufCMessage *message,
                           buffer_t *dataset)
{
    pack_writer_t *writer = NULL;
    pack_record_t record = {.transfer_syntax_uid = "1.2\r\nA: b\xFF"}; /* by a hostile writer */
    size_t length = protobuf_c_message_get_packed_size(message);
    AUTO_FREE uint8_t *bytes = memory_allocate(length);
    protobuf_c_message_pack(message, bytes);
    assert_int_equal(pack_writer_create(bench->folder, &writer), STATUS_OK);
    assert_int_equal(pack_writer_begin(writer, type, length), STATUS_OK);
    assert_int_equal(pack_writer_append(writer, dataset->data, dataset->length), STATUS_OK);
    assert_int_equal(pack_writer_commit(writer, bytes, length, &record), STATUS_OK);
    assert_int_equal(pack_writer_seal(bench->folder, &writer), STATUS_OK);
    uint64_t committed = 0;
    assert_int_equal(ingest_pack(bench->index, &record.pack, record.next_offset, &committed),
                     STATUS_OK);
    assert_int_equal(committed, record.next_offset);
}

/* A title may hold any byte, and of long texts the beginning is kept: no database must choke on it,
 * or the pack would be read no further. */
static void test_titles_and_long_texts_become_utf_8(void **state)
{
    bench_t *bench = *state;
    AUTO_BUFFER dataset = {0}, id = {0}, rows = {0};
    Pack__Provenance provenance = PACK__PROVENANCE__INIT;
    for (int i = 0; i < 600; i++)
        buffer_append_text(&id, i ? "\xC3\xBC" : "a"); /* two bytes each, behind an odd one */
    sample_t sample = first;
    sample.patient_id = sample.accession = sample.name = buffer_text(&id);
    dataset_make(&dataset, &sample);
    provenance.received_us = 1000;
    provenance.calling_ae_title = (char *)"R\xD6NTGEN"; /* ISO 8859-1 */
    provenance.sop_class_uid = (char *)"1.2.840.10008.5.1.4.1.1.2";
    provenance.sop_instance_uid = (char *)first.sop;
    provenance.study_instance_uid = (char *)first.study;
    provenance.series_instance_uid = (char *)first.series;
    record_take_in(bench, PACK_RECORD_INSTANCE, &provenance.base, &dataset);
    lines_append(bench, "SELECT source FROM instances", &rows);
    lines_append(bench, "SELECT source_ae_title FROM instances", &rows);
    lines_append(bench, "SELECT transfer_syntax_uid FROM instances", &rows);
    assert_string_equal(buffer_text(&rows), "R?NTGEN\nR?NTGEN\n1.2??A??b?\n");
    buffer_clear(&rows);
    lines_append(bench, "SELECT patient_id FROM studies", &rows);
    assert_int_equal(rows.length, 1023 + 1);
}

static void test_words_of_events_become_utf_8(void **state)
{
    bench_t *bench = *state;
    AUTO_BUFFER nothing = {0}, rows = {0};
    Pack__Hold hold = PACK__HOLD__INIT;
    Pack__Tombstone tombstone = PACK__TOMBSTONE__INIT;
    (void)bench_store(bench, &first, 1);
    hold.changed_us = 5000;
    hold.study_instance_uid = tombstone.study_instance_uid = (char *)STUDY;
    hold.user = tombstone.user = (char *)"J\xFCrgen";
    hold.reason = (char *)"\xE4rztlich";
    tombstone.deleted_us = tombstone.received_up_to_us = 6000;
    record_take_in(bench, PACK_RECORD_HOLD, &hold.base, &nothing);
    record_take_in(bench, PACK_RECORD_TOMBSTONE, &tombstone.base, &nothing);
    lines_append(bench, "SELECT user_name || ' ' || reason FROM holds", &rows);
    lines_append(bench, "SELECT source FROM changes WHERE kind = 'study.deleted'", &rows);
    assert_string_equal(buffer_text(&rows), "J?rgen ?rztlich\nJ?rgen\n");
}

static void test_feed(void **state)
{
    bench_t *bench = *state;
    Index__Changes query = INDEX__CHANGES__INIT;
    Index__Scope scope = INDEX__SCOPE__INIT;
    scope.kind = INDEX__SCOPE__KIND__ALL;
    query.scope = &scope;
    (void)bench_store(bench, (sample_t[]){first, second}, 2);
    assert_int_equal(changes_tend(&bench->index->rows, 60 * 1000000), STATUS_OK);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM changes WHERE kind = 'study.complete'"), 0);
    assert_int_equal(changes_tend(&bench->index->rows, -1000000), STATUS_OK);
    assert_int_equal(changes_tend(&bench->index->rows, -1000000), STATUS_OK);
    Index__ChangeList *list = memory_allocate(sizeof *list);
    index__change_list__init(list);
    assert_int_equal(changes_list(bench->reader, &query, list), STATUS_OK);
    static const char *const kinds[] = {"instance.stored", "instance.stored", "study.complete"};
    assert_int_equal(list->n_changes, 3);
    assert_int_equal(list->last, 3);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(list->changes[i]->kind, kinds[i]);
    AUTO_FREE char *epoch = memory_copy_text(list->epoch);
    index__change_list__free_unpacked(list, NULL);
    rebuild(bench);
    list = memory_allocate(sizeof *list);
    index__change_list__init(list);
    query.epoch = epoch;
    query.since = 3;
    assert_int_equal(changes_list(bench->reader, &query, list), STATUS_OK);
    assert_string_not_equal(list->epoch, epoch);
    assert_int_equal(list->n_changes, 2);
    index__change_list__free_unpacked(list, NULL);
}

/* Appends the kinds of all changes, a line each. */
static void kinds_append(bench_t *bench, buffer_t *out)
{
    lines_append(bench, "SELECT kind || ' ' || sop_instance_uid FROM changes ORDER BY id", out);
}

/* Sent again after its deletion, in a pack that a rebuild reads before the deletion: whoever follows
 * the feed hears last that it is there. */
static void test_feed_tells_of_survivors(void **state)
{
    bench_t *bench = *state;
    AUTO_BUFFER kinds = {0};
    pack_writer_t *writer = NULL;
    assert_int_equal(pack_writer_create(bench->folder, &writer), STATUS_OK); /* the oldest pack */
    (void)bench_store(bench, &second, 1);
    assert_int_equal(delete (bench, STUDY, "", ""), STATUS_OK);
    (void)sample_write(writer, &first);
    ulid_t pack = pack_writer_pack(writer);
    uint64_t committed = 0, durable = pack_writer_durable_offset(writer);
    assert_int_equal(pack_writer_seal(bench->folder, &writer), STATUS_OK);
    assert_int_equal(ingest_pack(bench->index, &pack, durable, &committed), STATUS_OK);
    kinds_append(bench, &kinds);
    assert_string_equal(buffer_text(&kinds), "instance.stored 2.1.2\nstudy.deleted \n"
                                             "instance.stored 2.1.1\n");
    rebuild(bench);
    assert_int_equal(count(bench, "SELECT COUNT(*) FROM instances"), 1);
    assert_int_equal(count(bench, "SELECT CASE WHEN (SELECT MAX(id) FROM changes WHERE"
                                  " sop_instance_uid = '2.1.1') > (SELECT MAX(id) FROM changes"
                                  " WHERE kind = 'study.deleted') THEN 1 ELSE 0 END"),
                     1);
}

/* Pages of a large series hang together, in the order of instance numbers. */
static void test_locate_pages(void **state)
{
    enum { COUNT = 950 };
    bench_t *bench = *state;
    sample_t *samples = memory_allocate(COUNT * sizeof *samples);
    char(*texts)[2][24] = memory_allocate(COUNT * sizeof *texts);
    for (int i = 0; i < COUNT; i++) {
        samples[i] = first;
        snprintf(texts[i][0], sizeof texts[i][0], "2.1.7.%d", i + 1);
        snprintf(texts[i][1], sizeof texts[i][1], "%d", COUNT - i);
        samples[i].sop = texts[i][0];
        samples[i].number = texts[i][1];
        samples[i].received_us = 1000 + i;
    }
    (void)bench_store(bench, samples, COUNT);
    AUTO_FREE char *after = memory_copy_text("");
    uint64_t version = 0;
    int seen = 0, pages = 0;
    do {
        Index__Locate query = INDEX__LOCATE__INIT;
        query.study_instance_uid = (char *)STUDY;
        query.after = after;
        Index__Located *reply = located(bench, query);
        for (size_t i = 0; i < reply->n_locations; i++, seen++)
            assert_string_equal(reply->locations[i]->sop_instance_uid, texts[COUNT - 1 - seen][0]);
        assert_true(index__located__get_packed_size(reply) < 512 * 1024);
        assert_true(pages == 0 || version == reply->version);
        version = reply->version;
        free(after);
        after = memory_copy_text(reply->next);
        index__located__free_unpacked(reply, NULL);
        pages++;
    } while (*after);
    assert_int_equal(seen, COUNT);
    assert_true(pages > 1);
    free(samples);
    free(texts);
}

/* Asks for a series (or, series empty, its study); the reply's version, and how many locations came. */
static uint64_t locate_known(bench_t *bench, const char *series, uint64_t known_version,
                             size_t *out_count)
{
    Index__Locate query = INDEX__LOCATE__INIT;
    query.study_instance_uid = (char *)STUDY;
    query.series_instance_uid = (char *)series;
    query.known_version = known_version;
    Index__Located *reply = located(bench, query);
    uint64_t version = reply->version;
    *out_count = reply->n_locations;
    index__located__free_unpacked(reply, NULL);
    return version;
}

static void test_locate_of_a_known_version(void **state)
{
    bench_t *bench = *state;
    size_t found;
    (void)bench_store(bench, (sample_t[]){first, in_series_2}, 2);
    uint64_t series = locate_known(bench, SERIES, 0, &found);
    assert_int_equal(found, 1);
    uint64_t study = locate_known(bench, "", 0, &found);
    assert_int_equal(found, 2);
    assert_true(locate_known(bench, SERIES, series, &found) == series);
    assert_int_equal(found, 0);
    assert_true(locate_known(bench, "", study, &found) == study);
    assert_int_equal(found, 0);
    assert_true(locate_known(bench, SERIES, series + 1, &found) == series);
    assert_int_equal(found, 1);

    (void)bench_store(bench, &second, 1); /* to that series */
    uint64_t changed = locate_known(bench, SERIES, series, &found);
    assert_true(changed != series);
    assert_int_equal(found, 2);
    (void)locate_known(bench, "", study, &found);
    assert_int_equal(found, 3);
    (void)locate_known(bench, SERIES, changed, &found);
    assert_int_equal(found, 0);
    uint64_t deleted;
    study = locate_known(bench, "", 0, &found);
    assert_int_equal(delete_and_count(bench, STUDY, SERIES, second.sop, &deleted), STATUS_OK);
    (void)locate_known(bench, SERIES, changed, &found);
    assert_int_equal(found, 1);
    (void)locate_known(bench, "", study, &found);
    assert_int_equal(found, 2);
}

/* With or without what it lies in, which has to be right. */
static void test_locate_of_an_instance(void **state)
{
    static const struct {
        const char *study, *series, *sop, *after;
        status_t status;
        size_t found;
    } cases[] = {
        {STUDY, SERIES, "2.1.1", "", STATUS_OK, 1},
        {"", "", "2.1.1", "", STATUS_OK, 1},
        {"", SERIES, "2.1.1", "", STATUS_OK, 1},
        {STUDY, "", "2.1.1", "", STATUS_OK, 1},
        {STUDY, SERIES, "2.1.1",
         "1.2.01ARZ3NDEKTSV4RRFFQ69G5FAV.3.4.5.01ARZ3NDEKTSV4RRFFQ69G5FAV.6", STATUS_OK, 0},
        {STUDY, SERIES, "2.1.1", "what no reply said", STATUS_INVALID, 0},
        {STUDY, SERIES, "2.1.9", "", STATUS_NOT_FOUND, 0},
        {STUDY "9", SERIES, "2.1.1", "", STATUS_NOT_FOUND, 0},
        {STUDY, SERIES "9", "2.1.1", "", STATUS_NOT_FOUND, 0},
    };
    bench_t *bench = *state;
    (void)bench_store(bench, (sample_t[]){first, second, in_series_2}, 3);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("%s %s %s\n", cases[i].study, cases[i].series, cases[i].sop);
        Index__Locate query = INDEX__LOCATE__INIT;
        Index__Located *reply = memory_allocate(sizeof *reply);
        index__located__init(reply);
        query.scope = everything();
        query.study_instance_uid = (char *)cases[i].study;
        query.series_instance_uid = (char *)cases[i].series;
        query.sop_instance_uid = (char *)cases[i].sop;
        query.after = (char *)cases[i].after;
        assert_int_equal(locate_run(bench->reader, &query, reply), cases[i].status);
        assert_int_equal(reply->n_locations, cases[i].found);
        for (size_t k = 0; k < reply->n_locations; k++) {
            assert_string_equal(reply->locations[k]->study_instance_uid, STUDY);
            assert_string_equal(reply->locations[k]->series_instance_uid, SERIES);
            assert_string_equal(reply->locations[k]->sop_instance_uid, cases[i].sop);
            assert_true(reply->version != 0);
        }
        index__located__free_unpacked(reply, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_duplicate_is_stored_once),
        TEST(test_repeated_message_changes_nothing),
        TEST(test_order_of_arrival_does_not_matter),
        TEST(test_conflicts_in_pages),
        TEST(test_outcomes),
        TEST(test_delete_and_rebuild),
        TEST(test_deleted_instance_may_come_again),
        TEST(test_copy_takes_over),
        TEST(test_rotted_copy_holds_nothing_up),
        TEST(test_resolve),
        TEST(test_open_pack),
        TEST(test_pack_in_other_hands_is_kept_in_mind),
        TEST(test_pack_that_goes_is_forgotten),
        TEST(test_rebuild_with_a_living_writer),
        TEST(test_pin_of_a_wrong_clock),
        TEST(test_unreadable_pack_keeps_no_other),
        TEST(test_start_finds_all),
        TEST(test_damaged_record_is_left_out),
        TEST(test_poison),
        TEST(test_crash_of_another_cause),
        TEST(test_damaged_database_is_rebuilt),
        TEST(test_titles_and_long_texts_become_utf_8),
        TEST(test_words_of_events_become_utf_8),
        TEST(test_feed),
        TEST(test_feed_tells_of_survivors),
        TEST(test_locate_pages),
        TEST(test_locate_of_a_known_version),
        TEST(test_locate_of_an_instance),
    };
    return bench_run_on_both("ingest", tests, sizeof tests / sizeof *tests);
}
