/*
 * How the index grows: fills a database through the index's own rows, without packs, and answers
 * questions about it.
 *
 *   index_growth LOCATION INSTANCES     a path or a postgresql:// URI
 *
 * Prints lines of tab-separated values: "fill" instances/s, "bytes" of the database per instance, and
 * "question" NAME for each that can be asked. Then each number of a question on standard input is
 * answered by a round of it, "asked" p50_us p99_us worst_us matches-of-each; so whoever asks lets
 * sizes take turns, each in a process of its own. A study has 2 series of 5 instances.
 */
#include "base/buffer.h"
#include "base/clock.h"
#include "base/memory.h"
#include "dicom/transfer_syntax.h"
#include "index/find/bookmark.h"
#include "index/changes/changes.h"
#include "index/find/find.h"
#include "index/rows/schema.h"
#include "synthetic.h"

enum { BATCH = 250, ASKED = 400 };

static uint64_t seed = 20261126;

static uint64_t next(uint64_t below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (seed >> 33) % below;
}

/* ---- instances --------------------------------------------------------------------------------- */

static void entry_make(uint64_t number, buffer_t *dataset, entry_t *entry)
{
    instance_t instance;
    instance_make(number, &instance);
    dataset_make(number, &instance, dataset);
    snprintf(entry->study_instance_uid, sizeof(uid_text_t), "%s", instance.study.uid);
    snprintf(entry->series_instance_uid, sizeof(uid_text_t), "%s", instance.series);
    snprintf(entry->sop_instance_uid, sizeof(uid_text_t), "%s", instance.sop);
    snprintf(entry->sop_class_uid, sizeof(uid_text_t), SYNTHETIC_SOP_CLASS);
    snprintf(entry->source, sizeof entry->source, "MODALITY%" PRIu64,
             number % STUDY_INSTANCES / SERIES_INSTANCES);
    extract_clear(&entry->extract);
    MUST(extract_dataset(dataset->data, dataset->length, DICOM_EXPLICIT_LITTLE, &entry->extract));
    entry->origin.received_us = 1000 + (int64_t)number;
    entry->origin.sequence = (int64_t)number;
    snprintf(entry->record.transfer_syntax_uid, sizeof entry->record.transfer_syntax_uid, "%s",
             DICOM_EXPLICIT_LITTLE);
    entry->record.offset = 4096 * (number + 1);
    entry->record.dataset_length = 526000;
    for (size_t i = 0; i < sizeof number; i++)
        entry->record.dataset_digest[i] = (uint8_t)(number >> 8 * i);
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
    MUST(rows_commit(rows));
}

static void fill(rows_t *rows, uint64_t size)
{
    static entry_t entries[BATCH];
    AUTO_BUFFER dataset = {0};
    ulid_t pack = ulid_make();
    int64_t begin_us = clock_wall_us();
    for (uint64_t number = 0; number < size; number += BATCH) {
        size_t count = size - number < BATCH ? (size_t)(size - number) : BATCH;
        for (size_t i = 0; i < count; i++) {
            entries[i].record.pack = entries[i].origin.pack = pack;
            entry_make(number + i, &dataset, &entries[i]);
        }
        batch_put(rows, entries, count);
    }
    double seconds = (double)(clock_wall_us() - begin_us) / 1e6;
    printf("fill\t%.0f\n", (double)size / seconds);
}

/* ---- asking ------------------------------------------------------------------------------------ */

typedef enum {
    PAGE_FIRST,
    PAGE_MIDDLE,  /* the same each time */
    PAGE_ANY,     /* a jump */
    PAGE_UNKNOWN, /* a jump, with nothing known of the pages asked for before */
    PAGE_NEXT     /* one after the other */
} page_kind_t;

typedef struct {
    const char *name;
    level_t level;
    page_kind_t page;
    uint32_t tags[2];
    const char *values[2]; /* "@...": of a study chosen by chance, see value_make(), so that
                            * about as many rows answer at each size */
} question_t;

static const question_t questions[] = {
    {"newest 50 studies", LEVEL_STUDY, PAGE_FIRST, {0}, {NULL}},
    {"studies, page after page", LEVEL_STUDY, PAGE_NEXT, {0}, {NULL}},
    {"studies, the middle page", LEVEL_STUDY, PAGE_MIDDLE, {0}, {NULL}},
    {"studies, a page anywhere", LEVEL_STUDY, PAGE_ANY, {0}, {NULL}},
    {"studies, a first jump", LEVEL_STUDY, PAGE_UNKNOWN, {0}, {NULL}},
    {"series, page after page", LEVEL_SERIES, PAGE_NEXT, {0}, {NULL}},
    {"instances, page after page", LEVEL_INSTANCE, PAGE_NEXT, {0}, {NULL}},
    {"PatientID", LEVEL_STUDY, PAGE_FIRST, {0x00100020}, {"@id"}},
    {"PatientName, begin", LEVEL_STUDY, PAGE_FIRST, {0x00100010}, {"@begin"}},
    {"PatientName, within", LEVEL_STUDY, PAGE_FIRST, {0x00100010}, {"@within"}},
    {"PatientBirthDate", LEVEL_STUDY, PAGE_FIRST, {0x00100030}, {"@born"}},
    {"AccessionNumber", LEVEL_STUDY, PAGE_FIRST, {0x00080050}, {"@accession"}},
    {"CT of some days", LEVEL_STUDY, PAGE_FIRST, {0x00080020, 0x00080061}, {"@days", "CT"}},
    {"newest 50 with CT", LEVEL_STUDY, PAGE_FIRST, {0x00080061}, {"CT"}},
    {"CT, page after page", LEVEL_STUDY, PAGE_NEXT, {0x00080061}, {"CT"}},
    {"five years, page after page", LEVEL_STUDY, PAGE_NEXT, {0x00080020}, {"20190101-20231231"}},
    {"10 StudyInstanceUID", LEVEL_STUDY, PAGE_FIRST, {0x0020000D}, {"@ten"}},
    {"series of a study", LEVEL_SERIES, PAGE_FIRST, {0x0020000D}, {"@study"}},
    {"instances of a series",
     LEVEL_INSTANCE,
     PAGE_FIRST,
     {0x0020000D, 0x0020000E},
     {"@study", "@series"}},
};
enum {
    QUESTIONS = sizeof questions / sizeof *questions,
    PAGE_ROWS = 50,
    LISTED = 10,
    STUDIES_A_DAY = 100000, /* as many studies as are asked for by one day */
    VALUE_SIZE = 512
};

static void list_make(uint64_t studies, char *out, size_t size)
{
    study_t study;
    for (size_t i = 0, length = 0; i < LISTED; i++) {
        study_make(next(studies), &study);
        snprintf(out + length, size - length, "%s%s", i ? "," : "", study.uid);
        length = strlen(out);
    }
}

/* The family name, which ends in three digits: with fewer of them in a smaller archive. */
static void name_make(const study_t *study, uint64_t studies, char *out, size_t size)
{
    snprintf(out, size, "%s", study->name);
    size_t length = strcspn(out, "0123456789");
    for (uint64_t more = studies / 100; more > 1 && out[length] && out[length] != '^'; more /= 10)
        length++;
    out[length] = 0;
}

/* From the study's day on: one day of 100,000 studies, ten of 10,000; up to the end of the year. */
static void days_make(const study_t *study, uint64_t studies, char *out, size_t size)
{
    uint64_t days = STUDIES_A_DAY / (studies < STUDIES_A_DAY ? studies : STUDIES_A_DAY);
    int year = atoi(study->date) / 10000, month = atoi(study->date) / 100 % 100;
    int day = atoi(study->date) % 100 + (int)days - 1;
    month += (day - 1) / MONTH;
    day = (day - 1) % MONTH + 1;
    snprintf(out, size, "%s-%04d%02d%02d", study->date, year, month > 12 ? 12 : month, day);
}

static void value_make(const char *form, const study_t *study, uint64_t studies, char *out,
                       size_t size)
{
    char name[64];
    name_make(study, studies, name, sizeof name);
    if (strcmp(form, "@id") == 0)
        snprintf(out, size, "%s", study->patient_id);
    else if (strcmp(form, "@begin") == 0)
        snprintf(out, size, "%s*", name);
    else if (strcmp(form, "@within") == 0)
        snprintf(out, size, "*%s*", name + 2);
    else if (strcmp(form, "@born") == 0)
        snprintf(out, size, "%s", study->birth_date);
    else if (strcmp(form, "@ten") == 0)
        list_make(studies, out, size);
    else if (strcmp(form, "@accession") == 0)
        snprintf(out, size, "%s", study->accession);
    else if (strcmp(form, "@days") == 0)
        days_make(study, studies, out, size);
    else if (strcmp(form, "@study") == 0)
        snprintf(out, size, "%s", study->uid);
    else if (strcmp(form, "@series") == 0)
        snprintf(out, size, "%s.1", study->uid);
    else
        snprintf(out, size, "%s", form);
}

/* next_page: where the last page of this question ended, 0 behind the last. */
static uint32_t offset_of(const question_t *question, uint64_t studies, uint32_t next_page)
{
    switch (question->page) {
    case PAGE_MIDDLE:
        return (uint32_t)(studies / 2);
    case PAGE_ANY:
    case PAGE_UNKNOWN:
        return (uint32_t)next(studies);
    case PAGE_NEXT:
        return next_page;
    default:
        return 0;
    }
}

static int64_t ask(database_t *reader, const question_t *question, uint64_t studies,
                   uint32_t *next_page, size_t *out_matches)
{
    study_t study;
    char values[2][VALUE_SIZE];
    Index__Scope scope = INDEX__SCOPE__INIT;
    Index__Find query = INDEX__FIND__INIT;
    Index__Term terms[2], *pointers[2];
    Index__Found *reply = memory_allocate(sizeof *reply);
    index__found__init(reply);
    study_make(next(studies), &study);
    scope.kind = INDEX__SCOPE__KIND__ALL;
    query.scope = &scope;
    query.level = (Index__Level)question->level;
    query.limit = PAGE_ROWS;
    query.offset = offset_of(question, studies, *next_page);
    query.terms = pointers;
    for (; query.n_terms < 2 && question->tags[query.n_terms]; query.n_terms++) {
        value_make(question->values[query.n_terms], &study, studies, values[query.n_terms],
                   sizeof *values);
        index__term__init(&terms[query.n_terms]);
        terms[query.n_terms].tag = question->tags[query.n_terms];
        terms[query.n_terms].value = values[query.n_terms];
        pointers[query.n_terms] = &terms[query.n_terms];
    }
    if (question->page == PAGE_UNKNOWN)
        bookmarks_forget();
    int64_t begin_us = clock_wall_us();
    MUST(find_run(reader, &query, reply));
    int64_t took_us = clock_wall_us() - begin_us;
    *out_matches += reply->n_matches;
    *next_page = reply->more ? query.offset + (uint32_t)reply->n_matches : 0;
    index__found__free_unpacked(reply, NULL);
    return took_us;
}

static int compare(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return left < right ? -1 : left > right;
}

static void ask_round(database_t *reader, const question_t *question, uint64_t size)
{
    static int64_t took[ASKED];
    size_t asked = 0, matches = 0;
    uint32_t next_page = 0;
    int64_t end_ms = clock_monotonic_ms() + 10000;
    while (asked < ASKED && (asked < 20 || clock_monotonic_ms() < end_ms))
        took[asked++] = ask(reader, question, size / STUDY_INSTANCES, &next_page, &matches);
    qsort(took, asked, sizeof *took, compare);
    printf("asked\t%" PRId64 "\t%" PRId64 "\t%" PRId64 "\t%.1f\n", took[asked / 2],
           took[asked * 99 / 100], took[asked - 1], (double)matches / (double)asked);
    fflush(stdout);
}

/* ---- the whole --------------------------------------------------------------------------------- */

static bool is_server(const char *location)
{
    return strstr(location, "://") != NULL;
}

static int64_t bytes_of(database_t *database, const char *location)
{
    AUTO_STATEMENT *find = NULL;
    bool row = false;
    MUST(database_prepare(database,
                          is_server(location) ? "SELECT pg_database_size(current_database())"
                                              : "SELECT page_count * page_size FROM"
                                                " pragma_page_count(), pragma_page_size()",
                          &find));
    MUST(statement_step(find, &row));
    return statement_int64(find, 0);
}

static void fill_all(const char *location, rows_t *rows, uint64_t size)
{
    bool all = true;
    int64_t empty_bytes = bytes_of(rows->database, location);
    MUST(database_migrate(rows->database, schema_migrations));
    MUST(database_migrate_optional(rows->database, schema_optional, &all));
    fill(rows, size);
    if (is_server(location)) /* what a server's own clock would have it do */
        MUST(database_execute(rows->database, "VACUUM ANALYZE"));
    printf("bytes\t%.0f\n",
           (double)(bytes_of(rows->database, location) - empty_bytes) / (double)size);
}

int main(int argc, char **argv)
{
    uint64_t size = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;
    if (size < STUDY_INSTANCES) {
        fprintf(stderr, "usage: index_growth LOCATION INSTANCES     at least one study of %d\n",
                STUDY_INSTANCES);
        return 2;
    }
    static rows_t rows;
    database_t *reader = NULL;
    char line[16];
    MUST(database_open(argv[1], false, &rows.database));
    fill_all(argv[1], &rows, size);
    MUST(database_open(argv[1], true, &reader));
    for (size_t k = 0; k < QUESTIONS; k++)
        printf("question\t%s\n", questions[k].name);
    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        size_t k = strtoull(line, NULL, 10);
        if (k < QUESTIONS)
            ask_round(reader, &questions[k], size);
    }
    database_close(&reader);
    rows_destroy(&rows);
    database_close(&rows.database);
    return 0;
}
