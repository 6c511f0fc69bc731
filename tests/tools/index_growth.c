/*
 * How the index grows: fills a database through the index's own rows, without packs, to each of the
 * sizes given, and asks the same questions at each.
 *
 *   index_growth LOCATION INSTANCES...     a path or a postgresql:// URI; the sizes ascending
 *
 * Prints lines of tab-separated values: "fill" SIZE instances/s, and "ask" SIZE QUESTION p50_us
 * p99_us matches. A study has 2 series of 5 instances.
 */
#include "base/buffer.h"
#include "base/clock.h"
#include "base/memory.h"
#include "dicom/transfer_syntax.h"
#include "index/changes.h"
#include "index/find.h"
#include "index/schema.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STUDY_INSTANCES = 10, SERIES_INSTANCES = 5, BATCH = 250, ASKED = 400, DAYS = 3650 };

static uint64_t seed = 20261126;

static uint64_t next(uint64_t below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (seed >> 33) % below;
}

static _Noreturn void stop(const char *what)
{
    fprintf(stderr, "index_growth: %s: %s\n", what, fail_detail());
    exit(1);
}

#define MUST(step)                                                                                 \
    do {                                                                                           \
        if ((step) != STATUS_OK)                                                                   \
            stop(#step);                                                                           \
    } while (0)

/* ---- instances --------------------------------------------------------------------------------- */

static const char *const family_names[] = {"Martin",  "Bernard", "Dubois",  "Thomas", "Robert",
                                           "Richard", "Petit",   "Durand",  "Leroy",  "Moreau",
                                           "Simon",   "Laurent", "Lefèvre", "Michel", "Garcia",
                                           "Müller",  "Schmidt", "Weber",   "Wagner", "Becker"};
static const char *const given_names[] = {"Anne", "Jean", "Marie", "Paul",
                                          "Luc",  "Eva",  "Léa",   "Max"};
static const char *const modalities[] = {"CT", "MR", "US", "CR", "DX", "XA", "NM", "PT"};
enum { FAMILIES = 20, GIVEN = 8, MODALITIES = 8 };

static void element_put(buffer_t *out, uint32_t tag, const char *vr, const char *value)
{
    size_t length = strlen(value), even = length + (length & 1);
    const uint8_t head[8] = {(uint8_t)(tag >> 16), (uint8_t)(tag >> 24), (uint8_t)tag,
                             (uint8_t)(tag >> 8),  (uint8_t)vr[0],       (uint8_t)vr[1],
                             (uint8_t)even,        (uint8_t)(even >> 8)};
    buffer_append(out, head, sizeof head);
    buffer_append(out, value, length);
    if (length & 1)
        buffer_append_byte(out, strcmp(vr, "UI") == 0 ? 0 : ' ');
}

/* All of a study follows from its number. */
typedef struct {
    char uid[40], patient_id[24], name[64], date[16], time[16], accession[24];
    const char *modality;
} study_t;

static void study_make(uint64_t number, study_t *study)
{
    uint64_t mix = number * UINT64_C(0x9E3779B97F4A7C15);
    snprintf(study->uid, sizeof study->uid, "1.2.826.0.1.%" PRIu64, number + 1);
    snprintf(study->patient_id, sizeof study->patient_id, "PID%07" PRIu64, number / 3);
    snprintf(study->name, sizeof study->name, "%s%" PRIu64 "^%s", family_names[mix % FAMILIES],
             mix / 64 % 1000, given_names[mix / 4096 % GIVEN]);
    int64_t day = (int64_t)(mix / 65536 % DAYS);
    snprintf(study->date, sizeof study->date, "%04d%02d%02d", 2017 + (int)(day / 365),
             1 + (int)(day % 365 / 31), 1 + (int)(day % 28));
    snprintf(study->time, sizeof study->time, "%02d%02d%02d", (int)(mix >> 40) % 24 & 15,
             (int)(mix >> 45 & 31), (int)(mix >> 50 & 31));
    snprintf(study->accession, sizeof study->accession, "ACC%07" PRIu64, number);
    study->modality = modalities[mix / 1024 % MODALITIES];
}

static void entry_make(uint64_t number, buffer_t *dataset, entry_t *entry)
{
    study_t study;
    char text[24];
    uint64_t in_study = number % STUDY_INSTANCES, series = in_study / SERIES_INSTANCES;
    study_make(number / STUDY_INSTANCES, &study);
    snprintf(entry->study_instance_uid, sizeof(uid_text_t), "%s", study.uid);
    snprintf(entry->series_instance_uid, sizeof(uid_text_t), "%s.%" PRIu64, study.uid, series + 1);
    snprintf(entry->sop_instance_uid, sizeof(uid_text_t), "%s.%" PRIu64, entry->series_instance_uid,
             in_study % SERIES_INSTANCES + 1);
    snprintf(entry->sop_class_uid, sizeof(uid_text_t), "1.2.840.10008.5.1.4.1.1.2");
    snprintf(entry->source, sizeof entry->source, "MODALITY%" PRIu64, series);
    buffer_clear(dataset);
    element_put(dataset, 0x00080005, "CS", "ISO_IR 192");
    element_put(dataset, 0x00080016, "UI", entry->sop_class_uid);
    element_put(dataset, 0x00080018, "UI", entry->sop_instance_uid);
    element_put(dataset, 0x00080020, "DA", study.date);
    element_put(dataset, 0x00080030, "TM", study.time);
    element_put(dataset, 0x00080050, "SH", study.accession);
    element_put(dataset, 0x00080060, "CS", study.modality);
    element_put(dataset, 0x00081030, "LO", "Thorax with contrast");
    element_put(dataset, 0x0008103E, "LO", "axial 1 mm");
    element_put(dataset, 0x00100010, "PN", study.name);
    element_put(dataset, 0x00100020, "LO", study.patient_id);
    element_put(dataset, 0x00100030, "DA", "19600101");
    element_put(dataset, 0x00100040, "CS", "O");
    element_put(dataset, 0x0020000D, "UI", entry->study_instance_uid);
    element_put(dataset, 0x0020000E, "UI", entry->series_instance_uid);
    element_put(dataset, 0x00200010, "SH", "1");
    snprintf(text, sizeof text, "%" PRIu64, series + 1);
    element_put(dataset, 0x00200011, "IS", text);
    snprintf(text, sizeof text, "%" PRIu64, in_study + 1);
    element_put(dataset, 0x00200013, "IS", text);
    extract_clear(&entry->extract);
    MUST(extract_dataset(dataset->data, dataset->length, DICOM_EXPLICIT_LITTLE, &entry->extract));
    entry->origin.received_us = 1000 + (int64_t)number;
    entry->origin.sequence = (int64_t)number;
    snprintf(entry->record.transfer_syntax_uid, sizeof entry->record.transfer_syntax_uid, "%s",
             DICOM_EXPLICIT_LITTLE);
    entry->record.offset = 4096 * (number + 1);
    entry->record.dataset_length = 526000;
    for (size_t i = 0; i < sizeof number; i++)
        entry->record.dataset_sha256[i] = (uint8_t)(number >> 8 * i);
}

/* ---- filling ----------------------------------------------------------------------------------- */

static void batch_put(rows_t *rows, entry_t *entries, size_t count)
{
    put_t put = PUT_STORED;
    locks_clear(&rows->locks);
    for (size_t i = 0; i < count; i++)
        locks_add_study(&rows->locks, entries[i].study_instance_uid);
    rows_begin(rows);
    MUST(changes_elect(rows));
    MUST(database_begin(rows->database));
    MUST(rows_take_locks(rows));
    for (size_t i = 0; i < count; i++)
        MUST(rows_put(rows, &entries[i], &put));
    MUST(rows_flush(rows));
    MUST(database_commit(rows->database));
}

static void fill(rows_t *rows, uint64_t from, uint64_t to)
{
    static entry_t entries[BATCH];
    AUTO_BUFFER dataset = {0};
    ulid_t pack = ulid_make();
    int64_t begin_us = clock_wall_us();
    for (uint64_t number = from; number < to; number += BATCH) {
        size_t count = to - number < BATCH ? (size_t)(to - number) : BATCH;
        for (size_t i = 0; i < count; i++) {
            entries[i].record.pack = entries[i].origin.pack = pack;
            entry_make(number + i, &dataset, &entries[i]);
        }
        batch_put(rows, entries, count);
    }
    double seconds = (double)(clock_wall_us() - begin_us) / 1e6;
    printf("fill\t%" PRIu64 "\t%.0f\n", to, (double)(to - from) / seconds);
    fflush(stdout);
}

/* ---- asking ------------------------------------------------------------------------------------ */

typedef struct {
    const char *name;
    level_t level;
    uint32_t tags[2];
    const char *values[2]; /* %s: of a study chosen by chance, see value_make() */
    bool deep;             /* a page in the middle */
} question_t;

static const question_t questions[] = {
    {"newest 50 studies", LEVEL_STUDY, {0}, {NULL}, false},
    {"a page of 50 in the middle", LEVEL_STUDY, {0}, {NULL}, true},
    {"PatientID", LEVEL_STUDY, {0x00100020}, {"@id"}, false},
    {"PatientName, begin", LEVEL_STUDY, {0x00100010}, {"@begin"}, false},
    {"PatientName, within", LEVEL_STUDY, {0x00100010}, {"@within"}, false},
    {"AccessionNumber", LEVEL_STUDY, {0x00080050}, {"@accession"}, false},
    {"a day's CT", LEVEL_STUDY, {0x00080020, 0x00080061}, {"@date", "CT"}, false},
    {"series of a study", LEVEL_SERIES, {0x0020000D}, {"@study"}, false},
    {"instances of a series",
     LEVEL_INSTANCE,
     {0x0020000D, 0x0020000E},
     {"@study", "@series"},
     false},
};

static void value_make(const char *form, const study_t *study, char *out, size_t size)
{
    char name[64];
    snprintf(name, sizeof name, "%s", study->name);
    name[strcspn(name, "^")] = 0;
    if (strcmp(form, "@id") == 0)
        snprintf(out, size, "%s", study->patient_id);
    else if (strcmp(form, "@begin") == 0)
        snprintf(out, size, "%s*", name);
    else if (strcmp(form, "@within") == 0)
        snprintf(out, size, "*%s*", name + 2);
    else if (strcmp(form, "@accession") == 0)
        snprintf(out, size, "%s", study->accession);
    else if (strcmp(form, "@date") == 0)
        snprintf(out, size, "%s-%s", study->date, study->date);
    else if (strcmp(form, "@study") == 0)
        snprintf(out, size, "%s", study->uid);
    else if (strcmp(form, "@series") == 0)
        snprintf(out, size, "%s.1", study->uid);
    else
        snprintf(out, size, "%s", form);
}

static int64_t ask(database_t *reader, const question_t *question, uint64_t studies,
                   size_t *out_matches)
{
    study_t study;
    char values[2][96];
    Index__Scope scope = INDEX__SCOPE__INIT;
    Index__Find query = INDEX__FIND__INIT;
    Index__Term terms[2], *pointers[2];
    Index__Found *reply = memory_allocate(sizeof *reply);
    index__found__init(reply);
    study_make(next(studies), &study);
    scope.kind = INDEX__SCOPE__KIND__ALL;
    query.scope = &scope;
    query.level = (Index__Level)question->level;
    query.limit = 50;
    query.offset = question->deep ? (uint32_t)(studies / 2) : 0;
    query.terms = pointers;
    for (; query.n_terms < 2 && question->tags[query.n_terms]; query.n_terms++) {
        value_make(question->values[query.n_terms], &study, values[query.n_terms], sizeof *values);
        index__term__init(&terms[query.n_terms]);
        terms[query.n_terms].tag = question->tags[query.n_terms];
        terms[query.n_terms].value = values[query.n_terms];
        pointers[query.n_terms] = &terms[query.n_terms];
    }
    int64_t begin_us = clock_wall_us();
    MUST(find_run(reader, &query, reply));
    int64_t took_us = clock_wall_us() - begin_us;
    *out_matches += reply->n_matches;
    index__found__free_unpacked(reply, NULL);
    return took_us;
}

static int compare(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return left < right ? -1 : left > right;
}

static void ask_all(database_t *reader, uint64_t size)
{
    static int64_t took[ASKED];
    for (size_t k = 0; k < sizeof questions / sizeof *questions; k++) {
        size_t matches = 0, asked = 0;
        int64_t end_ms = clock_monotonic_ms() + 20000;
        while (asked < ASKED && (asked < 20 || clock_monotonic_ms() < end_ms))
            took[asked++] = ask(reader, &questions[k], size / STUDY_INSTANCES, &matches);
        qsort(took, asked, sizeof *took, compare);
        printf("ask\t%" PRIu64 "\t%s\t%" PRId64 "\t%" PRId64 "\t%.1f\n", size, questions[k].name,
               took[asked / 2], took[asked * 99 / 100], (double)matches / (double)asked);
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: index_growth LOCATION INSTANCES...\n");
        return 2;
    }
    static rows_t rows;
    database_t *reader = NULL;
    bool all = true;
    MUST(database_open(argv[1], false, &rows.database));
    MUST(database_migrate(rows.database, schema_migrations));
    MUST(database_migrate_optional(rows.database, schema_optional, &all));
    uint64_t filled = 0;
    for (int i = 2; i < argc; i++) {
        uint64_t size = strtoull(argv[i], NULL, 10);
        fill(&rows, filled, size);
        filled = size;
        /* A connection that is new sees what ANALYZE of a server, run by its own clock, left. */
        if (strstr(argv[1], "://"))
            MUST(database_execute(rows.database, "VACUUM ANALYZE"));
        MUST(database_open(argv[1], true, &reader));
        ask_all(reader, size);
        database_close(&reader);
    }
    rows_destroy(&rows);
    database_close(&rows.database);
    return 0;
}
