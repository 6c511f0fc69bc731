#ifndef ZPACS_TESTS_INDEX_SUPPORT_H
#define ZPACS_TESTS_INDEX_SUPPORT_H

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#undef fail /* ours is in base/status.h */
#undef fail_msg
#define fail_msg(...) (print_error(__VA_ARGS__), print_error("\n"), _fail(__FILE__, __LINE__))
/* clang-format on */

#include "base/buffer.h"
#include "base/clock.h"
#include "base/memory.h"
#include "dicom/reader.h"
#include "dicom/transfer_syntax.h"
#include "index/find/find.h"
#include "index/index.h"
#include "index/find/match.h"
#include "pack.pb-c.h"
#include "pack/writer.h"

#include "../database/postgres_fixture.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

/* ---- datasets ---------------------------------------------------------------------------------- */

/* Appends an element with a short value, explicit VR little endian. */
static inline void element_put(buffer_t *out, uint32_t tag, const char *vr, const void *value,
                               size_t length)
{
    uint8_t head[8] = {(uint8_t)(tag >> 16), (uint8_t)(tag >> 24), (uint8_t)tag,
                       (uint8_t)(tag >> 8),  (uint8_t)vr[0],       (uint8_t)vr[1]};
    size_t even = length + (length & 1);
    head[6] = (uint8_t)even;
    head[7] = (uint8_t)(even >> 8);
    buffer_append(out, head, sizeof head);
    buffer_append(out, value, length);
    if (length & 1)
        buffer_append_byte(out, strcmp(vr, "UI") == 0 ? 0 : ' ');
}

static inline void text_put(buffer_t *out, uint32_t tag, const char *vr, const char *value)
{
    element_put(out, tag, vr, value, strlen(value));
}

/* An instance to be stored; NULL members are left out of its dataset. */
typedef struct {
    const char *sop, *study, *series, *name, *patient_id, *date, *time, *modality, *number,
        *accession;
    const char *description;
    int64_t received_us;
} sample_t;

static inline void dataset_make(buffer_t *out, const sample_t *sample)
{
    const struct {
        uint32_t tag;
        const char *vr, *value;
    } elements[] = {
        {0x00080005, "CS", "ISO_IR 192"},
        {0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.2"},
        {0x00080018, "UI", sample->sop},
        {0x00080020, "DA", sample->date},
        {0x00080030, "TM", sample->time},
        {0x00080050, "SH", sample->accession},
        {0x00080060, "CS", sample->modality},
        {0x00081030, "LO", sample->description},
        {0x00100010, "PN", sample->name},
        {0x00100020, "LO", sample->patient_id},
        {0x0020000D, "UI", sample->study},
        {0x0020000E, "UI", sample->series},
        {0x00200011, "IS", "1"},
        {0x00200013, "IS", sample->number},
    };
    for (size_t i = 0; i < sizeof elements / sizeof *elements; i++)
        if (elements[i].value)
            text_put(out, elements[i].tag, elements[i].vr, elements[i].value);
    element_put(out, 0x00280010, "US", "\x00\x02", 2);
}

/* PS3.5 A.5: a deflate stream without a head. */
static inline void dataset_deflate(buffer_t *dataset)
{
    z_stream stream = {0};
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    AUTO_BUFFER plain = *dataset;
    size_t bound = deflateBound(&stream, plain.length);
    AUTO_FREE uint8_t *packed = memory_allocate(bound);
    stream.next_in = (uint8_t *)plain.data;
    stream.avail_in = (uInt)plain.length;
    stream.next_out = packed;
    stream.avail_out = (uInt)bound;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    *dataset = (buffer_t){0};
    buffer_append(dataset, packed, stream.total_out);
    deflateEnd(&stream);
}

/* ---- packs ------------------------------------------------------------------------------------- */

/* Explicit VR little endian, or that deflated. */
static inline pack_record_t sample_write_in(pack_writer_t *writer, const sample_t *sample,
                                            const char *transfer_syntax_uid)
{
    AUTO_BUFFER dataset = {0};
    dataset_make(&dataset, sample);
    if (strcmp(transfer_syntax_uid, DICOM_DEFLATED_LITTLE) == 0)
        dataset_deflate(&dataset);
    Pack__Provenance provenance = PACK__PROVENANCE__INIT;
    provenance.received_us = (uint64_t)sample->received_us;
    provenance.source = (char *)"dimse";
    provenance.calling_ae_title = (char *)"MODALITY";
    provenance.sop_class_uid = (char *)"1.2.840.10008.5.1.4.1.1.2";
    provenance.sop_instance_uid = (char *)sample->sop;
    provenance.study_instance_uid = (char *)sample->study;
    provenance.series_instance_uid = (char *)sample->series;
    size_t length = pack__provenance__get_packed_size(&provenance);
    AUTO_FREE uint8_t *bytes = memory_allocate(length);
    pack__provenance__pack(&provenance, bytes);
    pack_record_t record = {0};
    snprintf(record.transfer_syntax_uid, sizeof record.transfer_syntax_uid, "%s",
             transfer_syntax_uid);
    assert_int_equal(pack_writer_begin(writer, PACK_RECORD_INSTANCE, length), STATUS_OK);
    assert_int_equal(pack_writer_append(writer, dataset.data, dataset.length), STATUS_OK);
    assert_int_equal(pack_writer_commit(writer, bytes, length, &record), STATUS_OK);
    return record;
}

static inline pack_record_t sample_write(pack_writer_t *writer, const sample_t *sample)
{
    return sample_write_in(writer, sample, DICOM_EXPLICIT_LITTLE);
}

/* ---- an index on a folder of its own ----------------------------------------------------------- */

enum { URI_SIZE = 256 };

/* The server that a bench makes its database in; NULL: a SQLite file. */
static postgres_fixture_t *bench_postgres;

typedef struct {
    char folder[64], uri[URI_SIZE];
    index_config_t config;
    index_t *index;
    database_t *reader;
} bench_t;

static inline int remove_entry(const char *path, const struct stat *info, int type,
                               struct FTW *walk)
{
    (void)info, (void)type, (void)walk;
    return remove(path);
}

static inline void index_wait(index_t *index)
{
    while (atomic_load(&index->replay_runs))
        usleep(1000);
}

static inline void bench_start(bench_t *bench)
{
    assert_int_equal(index_open(&bench->config, &bench->index), STATUS_OK);
    index_wait(bench->index);
    assert_int_equal(database_open(bench->index->location, true, &bench->reader), STATUS_OK);
}

static inline void bench_stop(bench_t *bench)
{
    database_close(&bench->reader);
    index_close(&bench->index);
}

static inline void bench_open(bench_t *bench)
{
    memset(bench, 0, sizeof *bench);
    snprintf(bench->folder, sizeof bench->folder, "%s/zpacs-index-test.XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"); /* no test cuts the power */
    assert_non_null(mkdtemp(bench->folder));
    char path[128];
    snprintf(path, sizeof path, "%s/packs", bench->folder);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/packs/open", bench->folder);
    mkdir(path, 0700);
    bench->config.service.data = bench->folder;
    bench->config.replica = (char *)"";
    bench->config.index_database = bench->uri;
    if (bench_postgres)
        assert_true(postgres_fixture_database(bench_postgres, "bench", bench->uri, URI_SIZE));
    bench->config.stable_seconds = 60;
    bench->config.pack_open_seconds = 1800;
    bench_start(bench);
}

static inline void bench_close(bench_t *bench)
{
    bench_stop(bench);
    nftw(bench->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* A group of tests on SQLite files, then on a PostgreSQL server of its own. */
static inline int bench_run_on_both(const char *name, const struct CMUnitTest *tests, size_t count)
{
    static postgres_fixture_t postgres;
    AUTO_FREE char *on_sqlite = memory_format("%s, SQLite", name);
    AUTO_FREE char *on_postgres = memory_format("%s, PostgreSQL", name);
    int failed = _cmocka_run_group_tests(on_sqlite, tests, count, NULL, NULL);
    if (!postgres_fixture_start(&postgres))
        return 1;
    bench_postgres = &postgres;
    failed += _cmocka_run_group_tests(on_postgres, tests, count, NULL, NULL);
    postgres_fixture_stop(&postgres);
    return failed;
}

/* Writes samples into a new pack, seals it, and has the index read it. */
static inline ulid_t bench_store(bench_t *bench, const sample_t *samples, size_t count)
{
    pack_writer_t *writer = NULL;
    uint64_t committed = 0;
    assert_int_equal(pack_writer_create(bench->folder, &writer), STATUS_OK);
    for (size_t i = 0; i < count; i++)
        (void)sample_write(writer, &samples[i]);
    ulid_t pack = pack_writer_pack(writer);
    uint64_t durable = pack_writer_durable_offset(writer);
    assert_int_equal(pack_writer_seal(bench->folder, &writer), STATUS_OK);
    assert_int_equal(ingest_pack(bench->index, &pack, durable, &committed), STATUS_OK);
    assert_int_equal(committed, durable);
    return pack;
}

/* ---- queries ----------------------------------------------------------------------------------- */

/* Runs a query of one level; the matches' JSON, a line each, is appended to out. */
static inline status_t bench_find(bench_t *bench, level_t level, const term_t *terms, size_t count,
                                  bool fuzzy, buffer_t *out)
{
    Index__Find query = INDEX__FIND__INIT;
    Index__Scope scope = INDEX__SCOPE__INIT;
    Index__Term rows[MATCH_TERMS_MAX], *pointers[MATCH_TERMS_MAX];
    Index__Found *reply = memory_allocate(sizeof *reply);
    index__found__init(reply);
    scope.kind = INDEX__SCOPE__KIND__ALL;
    query.level = (Index__Level)level;
    query.scope = &scope;
    query.fuzzy = fuzzy;
    query.include_all = true;
    for (size_t i = 0; i < count; i++) {
        index__term__init(&rows[i]);
        rows[i].tag = terms[i].tag;
        rows[i].value = (char *)terms[i].value;
        pointers[i] = &rows[i];
    }
    query.terms = pointers;
    query.n_terms = count;
    status_t status = find_run(bench->reader, &query, reply);
    for (size_t i = 0; status == STATUS_OK && i < reply->n_matches; i++) {
        buffer_append(out, reply->matches[i]->json.data, reply->matches[i]->json.len);
        buffer_append_byte(out, '\n');
    }
    index__found__free_unpacked(reply, NULL);
    return status;
}

static inline size_t lines_count(buffer_t *text)
{
    size_t count = 0;
    for (size_t i = 0; i < text->length; i++)
        count += text->data[i] == '\n';
    return count;
}

/* ---- what the index says ----------------------------------------------------------------------- */

/* The only column of each row, a line each. */
static inline void lines_append(bench_t *bench, const char *sql, buffer_t *out)
{
    AUTO_STATEMENT *rows = NULL;
    assert_int_equal(database_prepare(bench->reader, sql, &rows), STATUS_OK);
    for (bool row = true;;) {
        assert_int_equal(statement_step(rows, &row), STATUS_OK);
        if (!row)
            break;
        buffer_append_text(out, statement_text(rows, 0));
        buffer_append_byte(out, '\n');
    }
}

/* All rows as queries see them, where the bytes lie, and the counters: to be compared. */
static inline void answers(bench_t *bench, buffer_t *out)
{
    for (int level = LEVEL_STUDY; level <= LEVEL_INSTANCE; level++) {
        assert_int_equal(bench_find(bench, (level_t)level, NULL, 0, false, out), STATUS_OK);
    }
    lines_append(bench,
                 "SELECT sop_instance_uid || ' ' || pack || ' ' || received_us"
                 " FROM instances UNION ALL SELECT 'copy ' || sop_instance_uid"
                 " || ' ' || pack || ' ' || conflict FROM copies UNION ALL"
                 " SELECT name || ' ' || value FROM counters UNION ALL"
                 " SELECT 'from ' || source || ' ' || instances FROM sources WHERE instances <> 0"
                 " ORDER BY 1",
                 out);
}

static inline int64_t count(bench_t *bench, const char *sql)
{
    AUTO_STATEMENT *find = NULL;
    bool row = false;
    assert_int_equal(database_prepare(bench->reader, sql, &find), STATUS_OK);
    assert_int_equal(statement_step(find, &row), STATUS_OK);
    return row ? statement_int64(find, 0) : 0;
}

static inline Index__Scope *everything(void)
{
    static Index__Scope scope;
    index__scope__init(&scope);
    scope.kind = INDEX__SCOPE__KIND__ALL;
    return &scope;
}

/* To be freed; the query is put to all there is. */
static inline Index__Located *located(const bench_t *bench, Index__Locate query)
{
    Index__Located *reply = memory_allocate(sizeof *reply);
    index__located__init(reply);
    query.scope = everything();
    assert_int_equal(locate_run(bench->reader, &query, reply), STATUS_OK);
    return reply;
}

#endif
