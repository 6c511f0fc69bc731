#include "support.h"

#include "index/find/bookmark.h"

/* Pages: every row once and in order, whatever comes in between, on both databases alike. */
enum { STUDIES = 500, INSTANCES = 5, PAGE = 7, LINE = 2 * UID_LENGTH_MAX };

/* ---- studies ----------------------------------------------------------------------------------- */

typedef struct {
    char study[UID_LENGTH_MAX + 1], series[UID_LENGTH_MAX + 1], sop[UID_LENGTH_MAX + 1];
    char date[24], time[24], number[16];
} texts_t;

/* Dates and times that many share, some without; UIDs whose order depends on how texts compare. */
static sample_t sample_make(texts_t *texts, unsigned study, unsigned instance)
{
    unsigned mix = study * 2654435761U >> 8;
    snprintf(texts->study, sizeof texts->study, "1.2.%c%u", "aBcD9"[mix % 5], study);
    snprintf(texts->series, sizeof texts->series, "%s.1", texts->study);
    snprintf(texts->sop, sizeof texts->sop, "%s.%u", texts->series, instance);
    snprintf(texts->date, sizeof texts->date, "202001%02u", 1 + mix / 8 % 9);
    snprintf(texts->time, sizeof texts->time, "%02u0000", mix / 128 % 4);
    snprintf(texts->number, sizeof texts->number, "%u", instance + 1);
    return (sample_t){.sop = texts->sop,
                      .study = texts->study,
                      .series = texts->series,
                      .date = mix % 13 ? texts->date : NULL,
                      .time = mix % 7 ? texts->time : NULL,
                      .modality = study % 2 ? "CT" : "MR",
                      .number = texts->number,
                      .received_us = 1000 + study * INSTANCES + instance};
}

static void studies_store(bench_t *bench, unsigned first, unsigned count, unsigned instances)
{
    texts_t *texts = memory_allocate(count * instances * sizeof *texts);
    sample_t *samples = memory_allocate(count * instances * sizeof *samples);
    for (unsigned i = 0; i < count * instances; i++)
        samples[i] = sample_make(&texts[i], first + i / instances, i % instances);
    (void)bench_store(bench, samples, count * instances);
    free(samples);
    free(texts);
}

/* ---- pages ------------------------------------------------------------------------------------- */

/* Appends the rows' own UIDs, a line each. */
static bool page_read(bench_t *bench, level_t level, const term_t *term, uint32_t offset,
                      uint32_t limit, buffer_t *out)
{
    Index__Find query = INDEX__FIND__INIT;
    Index__Scope scope = INDEX__SCOPE__INIT;
    Index__Term row = INDEX__TERM__INIT, *pointer = &row;
    Index__Found *reply = memory_allocate(sizeof *reply);
    index__found__init(reply);
    scope.kind = INDEX__SCOPE__KIND__ALL;
    query.scope = &scope;
    query.level = (Index__Level)level;
    query.offset = offset;
    query.limit = limit;
    if (term) {
        row.tag = term->tag;
        row.value = (char *)term->value;
        query.terms = &pointer;
        query.n_terms = 1;
    }
    if (find_run(bench->reader, &query, reply) != STATUS_OK)
        fail_msg("offset %u: %s", offset, fail_detail());
    for (size_t i = 0; i < reply->n_matches; i++) {
        const Index__Match *match = reply->matches[i];
        buffer_printf(out, "%s\n",
                      level == LEVEL_STUDY    ? match->study_instance_uid
                      : level == LEVEL_SERIES ? match->series_instance_uid
                                              : match->sop_instance_uid);
    }
    bool more = reply->more;
    index__found__free_unpacked(reply, NULL);
    return more;
}

/* All pages, one after the other; the rows of each are counted, as a caller does. */
static void walk(bench_t *bench, level_t level, const term_t *term, uint32_t limit, bool forgetful,
                 buffer_t *out)
{
    size_t before = lines_count(out);
    uint32_t offset = 0;
    for (bool more = true; more; offset = (uint32_t)(lines_count(out) - before)) {
        if (forgetful)
            bookmarks_forget();
        more = page_read(bench, level, term, offset, limit, out);
    }
}

/* The lines from first on, at most count; a copy that the caller frees. */
static char *lines_cut(buffer_t *text, uint32_t first, uint32_t count)
{
    const char *begin = buffer_text(text), *end;
    for (; first && *begin; first--)
        begin += strcspn(begin, "\n") + 1;
    for (end = begin; count && *end; count--)
        end += strcspn(end, "\n") + 1;
    return memory_copy_text_n(begin, (size_t)(end - begin));
}

static size_t line_occurrences(buffer_t *text, const char *line)
{
    size_t found = 0;
    for (const char *at = buffer_text(text); (at = strstr(at, line)); at += strlen(line))
        found += at == buffer_text(text) || at[-1] == '\n';
    return found;
}

/* ---- tests ------------------------------------------------------------------------------------- */

static void test_page_after_page(void **state)
{
    (void)state;
    static const struct {
        level_t level;
        term_t term;
    } cases[] = {
        {LEVEL_STUDY, {0}},
        {LEVEL_STUDY, {0x00080061, "CT"}},
        {LEVEL_STUDY, {0x00080020, "20200103-20200106"}},
        {LEVEL_SERIES, {0}},
        {LEVEL_SERIES, {0x00080060, "MR"}},
        {LEVEL_SERIES, {0x00080020, "20200103"}},
        {LEVEL_INSTANCE, {0x00080060, "CT"}},
        {LEVEL_INSTANCE, {0x00200013, "1"}},
        {LEVEL_INSTANCE, {0x00080020, "20200103"}},
    };
    bench_t bench;
    bench_open(&bench);
    studies_store(&bench, 0, STUDIES, 2);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_BUFFER all = {0}, paged = {0}, counted = {0};
        const term_t *term = cases[i].term.tag ? &cases[i].term : NULL;
        walk(&bench, cases[i].level, term, 1000, true, &all);
        walk(&bench, cases[i].level, term, PAGE, false, &paged);
        walk(&bench, cases[i].level, term, PAGE, true, &counted);
        assert_true(lines_count(&all) > 5 * PAGE);
        assert_string_equal(buffer_text(&all), buffer_text(&paged));
        assert_string_equal(buffer_text(&all), buffer_text(&counted));
    }
    bench_close(&bench);
}

/* The study of a line of what was read. */
static void study_delete(bench_t *bench, buffer_t *seen, uint32_t line)
{
    Index__Delete what = INDEX__DELETE__INIT;
    Index__Scope scope = INDEX__SCOPE__INIT;
    uint64_t instances = 0;
    AUTO_FREE char *study = lines_cut(seen, line, 1);
    study[strcspn(study, "\n")] = 0;
    scope.kind = INDEX__SCOPE__KIND__ALL;
    what.scope = &scope;
    what.study_instance_uid = study;
    assert_int_equal(remove_run(bench->index, &what, &instances), STATUS_OK);
    assert_int_equal(instances, 1);
}

/* New studies of every date come in between, and some go that were read: none of the old is left
 * out or seen twice. */
static void test_changes_between_pages(void **state)
{
    (void)state;
    bench_t bench;
    AUTO_BUFFER old = {0}, seen = {0}, kept = {0};
    unsigned stored = STUDIES;
    bench_open(&bench);
    studies_store(&bench, 0, STUDIES, 1);
    assert_false(page_read(&bench, LEVEL_STUDY, NULL, 0, 1000, &old));
    for (bool more = true; more;) {
        more = page_read(&bench, LEVEL_STUDY, NULL, (uint32_t)lines_count(&seen), PAGE, &seen);
        studies_store(&bench, stored, 5, 1);
        stored += 5;
        study_delete(&bench, &seen, (uint32_t)lines_count(&seen) - 2);
    }
    assert_true(lines_count(&seen) > STUDIES);
    for (const char *line = buffer_text(&seen); *line;) {
        char text[LINE];
        snprintf(text, sizeof text, "%.*s\n", (int)strcspn(line, "\n"), line);
        assert_int_equal(line_occurrences(&seen, text), 1);
        if (line_occurrences(&old, text))
            buffer_append_text(&kept, text);
        line += strlen(text);
    }
    assert_string_equal(buffer_text(&kept), buffer_text(&old));
    bench_close(&bench);
}

static void test_jumps(void **state)
{
    (void)state;
    static const uint32_t offsets[] = {2400, 13,   1000, 1001, 2499,       2500,
                                       2501, 2222, 999,  1,    UINT32_MAX, 2222};
    bench_t bench;
    AUTO_BUFFER all = {0};
    bench_open(&bench);
    studies_store(&bench, 0, STUDIES, INSTANCES);
    walk(&bench, LEVEL_INSTANCE, NULL, 1000, true, &all);
    assert_int_equal(lines_count(&all), STUDIES * INSTANCES);
    for (int forgetful = 0; forgetful < 2; forgetful++) {
        bookmarks_forget();
        for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
            AUTO_BUFFER page = {0};
            AUTO_FREE char *expected = lines_cut(&all, offsets[i], PAGE);
            bool more = page_read(&bench, LEVEL_INSTANCE, NULL, offsets[i], PAGE, &page);
            assert_string_equal(buffer_text(&page), expected);
            assert_int_equal(more, offsets[i] < STUDIES * INSTANCES - PAGE);
            if (forgetful)
                bookmarks_forget();
        }
    }
    bench_close(&bench);
}

/* A list that is read anew counts as it now stands, not as it stood before. */
static void test_read_anew_after_a_deletion(void **state)
{
    (void)state;
    bench_t bench;
    AUTO_BUFFER before = {0}, after = {0}, all = {0};
    bench_open(&bench);
    studies_store(&bench, 0, 40, 1);
    walk(&bench, LEVEL_STUDY, NULL, PAGE, false, &before);
    study_delete(&bench, &before, 2);
    walk(&bench, LEVEL_STUDY, NULL, PAGE, false, &after);
    assert_false(page_read(&bench, LEVEL_STUDY, NULL, 0, 1000, &all));
    assert_int_equal(lines_count(&all), 39);
    assert_string_equal(buffer_text(&after), buffer_text(&all));
    bench_close(&bench);
}

/* What goes on behind a page goes on; what asks for a place gets what now stands there. */
static void test_place_after_changes(void **state)
{
    (void)state;
    bench_t bench;
    AUTO_BUFFER first = {0}, jump = {0}, all = {0}, again = {0}, next = {0};
    bench_open(&bench);
    studies_store(&bench, 0, 40, 1);
    page_read(&bench, LEVEL_STUDY, NULL, 0, PAGE, &first);
    page_read(&bench, LEVEL_STUDY, NULL, 5, PAGE, &jump);
    study_delete(&bench, &first, 2);
    page_read(&bench, LEVEL_STUDY, NULL, 0, PAGE, &again);
    study_delete(&bench, &again, 1);
    assert_false(page_read(&bench, LEVEL_STUDY, NULL, 0, 1000, &all));
    for (uint32_t offset = 5; offset <= PAGE; offset += PAGE - 5) {
        AUTO_FREE char *expected = lines_cut(&all, offset, PAGE);
        buffer_clear(&next);
        page_read(&bench, LEVEL_STUDY, NULL, offset, PAGE, &next);
        assert_string_equal(buffer_text(&next), expected);
    }
    bench_close(&bench);
}

/* Numbers that are missing come last, in the order of arrival. */
static void test_missing_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *series, *sop, *number;
    } rows[] = {
        {"1.9.5", "1.9.5.1", NULL}, {"1.9.3", "1.9.3.2", "2"},  {"1.9.3", "1.9.3.9", NULL},
        {"1.9.4", "1.9.4.1", "1"},  {"1.9.1", "1.9.1.1", NULL}, {"1.9.3", "1.9.3.1", "1"},
        {"1.9.2", "1.9.2.1", "-4"},
    };
    enum { ROWS = sizeof rows / sizeof *rows };
    sample_t samples[ROWS];
    const term_t term = {0x0020000D, "1.9"};
    bench_t bench;
    AUTO_BUFFER series = {0}, instances = {0};
    for (int i = 0; i < ROWS; i++)
        samples[i] = (sample_t){.study = "1.9",
                                .series = rows[i].series,
                                .sop = rows[i].sop,
                                .number = rows[i].number,
                                .received_us = 1000 + i};
    bench_open(&bench);
    (void)bench_store(&bench, samples, ROWS);
    /* All samples have series number 1. */
    assert_int_equal(database_execute(bench.index->writer,
                                      "UPDATE series SET series_number = CASE series_instance_uid"
                                      " WHEN '1.9.1' THEN 1 WHEN '1.9.2' THEN 2"
                                      " WHEN '1.9.3' THEN 3 END"),
                     STATUS_OK);
    for (uint32_t i = 0; i < ROWS; i++)
        page_read(&bench, LEVEL_SERIES, &term, i, 1, &series);
    for (uint32_t i = 0; i < ROWS; i++)
        page_read(&bench, LEVEL_INSTANCE, &term, i, 1, &instances);
    assert_string_equal(buffer_text(&series), "1.9.1\n1.9.2\n1.9.3\n1.9.5\n1.9.4\n");
    assert_string_equal(buffer_text(&instances), "1.9.1.1\n1.9.2.1\n1.9.3.1\n1.9.3.2\n1.9.3.9\n"
                                                 "1.9.5.1\n1.9.4.1\n");
    bench_close(&bench);
}

static void locations_append(bench_t *bench, const char *study, buffer_t *out)
{
    Index__Locate query = INDEX__LOCATE__INIT;
    query.study_instance_uid = (char *)study;
    Index__Located *reply = located(bench, query);
    for (size_t i = 0; i < reply->n_locations; i++)
        buffer_printf(out, "%s\n", reply->locations[i]->sop_instance_uid);
    index__located__free_unpacked(reply, NULL);
}

/* Two writers at the same time, whose packs are read one after the other: what was received first
 * comes first, before a rebuild and after it. */
static void test_order_is_that_of_receiving(void **state)
{
    (void)state;
    enum { PACKS = 2, ROWS = 4 };
    static const sample_t samples[PACKS][ROWS] = {
        {{.study = "1.7", .series = "1.7.2", .sop = "1.7.2.2", .received_us = 2000},
         {.study = "1.7", .series = "1.7.1", .sop = "1.7.1.4", .received_us = 4000},
         {.study = "1.7", .series = "1.7.1", .sop = "1.7.1.6", .received_us = 6000},
         {.study = "1.8", .series = "1.8.1", .sop = "1.8.1.8", .received_us = 8000}},
        {{.study = "1.7", .series = "1.7.1", .sop = "1.7.1.3", .received_us = 3000},
         {.study = "1.7", .series = "1.7.2", .sop = "1.7.2.5", .received_us = 5000},
         {.study = "1.6", .series = "1.6.1", .sop = "1.6.1.7", .received_us = 7000},
         {.study = "1.7", .series = "1.7.1", .sop = "1.7.1.9", .received_us = 9000}}};
    const term_t term = {0x0020000D, "1.7"};
    bench_t bench;
    bench_open(&bench);
    for (int i = PACKS; i-- > 0;)
        (void)bench_store(&bench, samples[i], ROWS);
    for (int i = 0; i < 2; i++) {
        AUTO_BUFFER all = {0};
        walk(&bench, LEVEL_SERIES, NULL, 1, true, &all);
        walk(&bench, LEVEL_INSTANCE, NULL, 1, false, &all);
        walk(&bench, LEVEL_INSTANCE, &term, 1, false, &all);
        locations_append(&bench, "1.7", &all);
        assert_string_equal(buffer_text(&all),
                            "1.7.2\n1.7.1\n1.6.1\n1.8.1\n"
                            "1.7.2.2\n1.7.1.3\n1.7.1.4\n1.7.2.5\n1.7.1.6\n1.6.1.7\n1.8.1.8\n"
                            "1.7.1.9\n"
                            "1.7.2.2\n1.7.2.5\n1.7.1.3\n1.7.1.4\n1.7.1.6\n1.7.1.9\n"
                            "1.7.2.2\n1.7.2.5\n1.7.1.3\n1.7.1.4\n1.7.1.6\n1.7.1.9\n");
        assert_int_equal(rebuild_start(bench.index), STATUS_OK);
        index_wait(bench.index);
    }
    bench_close(&bench);
}

/* The first time keeps the answers, the second compares. */
static void test_same_order_on_both(void **state)
{
    (void)state;
    static buffer_t first;
    AUTO_BUFFER all = {0};
    bench_t bench;
    bench_open(&bench);
    studies_store(&bench, 0, STUDIES, 1);
    for (int level = LEVEL_STUDY; level <= LEVEL_INSTANCE; level++)
        walk(&bench, (level_t)level, NULL, PAGE, false, &all);
    bench_close(&bench);
    assert_int_equal(lines_count(&all), 3 * STUDIES);
    if (!bench_postgres) {
        buffer_append(&first, all.data, all.length);
        return;
    }
    assert_string_equal(buffer_text(&first), buffer_text(&all));
    buffer_destroy(&first);
}

static void test_rebuild_forgets(void **state)
{
    (void)state;
    bench_t bench;
    query_digest_t query = {{1}};
    bookmark_t bookmark = {.offset = 7};
    bench_open(&bench);
    bookmark_note(&query, &bookmark, 1000);
    assert_true(bookmark_find(&query, 7, 0, 1000, &bookmark));
    assert_int_equal(rebuild_start(bench.index), STATUS_OK);
    index_wait(bench.index);
    assert_false(bookmark_find(&query, 7, 0, 1000, &bookmark));
    bench_close(&bench);
}

static int forget(void **state)
{
    (void)state;
    bookmarks_forget();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_page_after_page, forget),
        cmocka_unit_test_setup(test_changes_between_pages, forget),
        cmocka_unit_test_setup(test_jumps, forget),
        cmocka_unit_test_setup(test_read_anew_after_a_deletion, forget),
        cmocka_unit_test_setup(test_place_after_changes, forget),
        cmocka_unit_test_setup(test_missing_numbers, forget),
        cmocka_unit_test_setup(test_order_is_that_of_receiving, forget),
        cmocka_unit_test_setup(test_same_order_on_both, forget),
        cmocka_unit_test_setup(test_rebuild_forgets, forget),
    };
    return bench_run_on_both("find", tests, sizeof tests / sizeof *tests);
}
