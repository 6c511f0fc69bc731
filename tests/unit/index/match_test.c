#include "support.h"

/* Queries against a handful of studies; each row says which of them it finds. */
/* clang-format off */
static const sample_t samples[] = {
    {"1.1.1", "1.1", "1.1.0", "Müller^Jürgen", "PAT1", "20200101", "080000", "CT", "1", "A1", "Brain CT", 1000},
    {"1.2.1", "1.2", "1.2.0", "MILLER^JANE^^DR", "PAT2", "20200102", "120000.5", "MR", "1", "A2", "Knee", 2000},
    {"1.3.1", "1.3", "1.3.0", "Yamada^Tarou=山田^太郎=やまだ^たろう", "pat_3", "20200103", "1800", "CT", "1", "A%3", "100%", 3000},
    {"1.3.2", "1.3", "1.3.9", "Yamada^Tarou=山田^太郎=やまだ^たろう", "pat_3", "20200103", "1800", "SR", "1", "A%3", "100%", 3001},
    {"1.3.3", "1.3", "1.3.9", "Yamada^Tarou=山田^太郎=やまだ^たろう", "pat_3", "20200103", "1800", "KO", "2", "A%3", "100%", 3002},
    {"1.4.1", "1.4", "1.4.0", NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 4000},
};
/* clang-format on */

static bench_t bench;

static int setup(void **state)
{
    (void)state;
    bench_open(&bench);
    (void)bench_store(&bench, samples, sizeof samples / sizeof *samples);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bench_close(&bench);
    return 0;
}

/* "1 3" when studies 1.1 and 1.3 are in the answer. */
static void found_studies(buffer_t *json, char out[16])
{
    out[0] = 0;
    for (int i = 1; i <= 4; i++) {
        char uid[64];
        snprintf(uid, sizeof uid, "\"0020000D\":{\"vr\":\"UI\",\"Value\":[\"1.%d\"]}", i);
        if (strstr(buffer_text(json), uid))
            snprintf(out + strlen(out), 16 - strlen(out), "%s%d", *out ? " " : "", i);
    }
}

#define NAME 0x00100010,
#define ID   0x00100020,
static void test_one_key(void **state)
{
    (void)state;
    static const struct {
        uint32_t tag;
        const char *value;
        bool fuzzy;
        const char *found;
    } cases[] = {
        {ID "PAT1", false, "1"},
        {ID "pat1", false, ""},
        {ID "PAT*", false, "1 2"},
        {ID "PAT?", false, "1 2"},
        {ID "*3", false, "3"},
        {ID "P*2", false, "2"},
        {ID "", false, "1 2 3 4"},
        {ID "*", false, "1 2 3 4"},
        {ID "%", false, ""},
        {ID "____", false, ""},
        {ID "pat_*", false, "3"},
        {ID "' OR 1=1 --", false, ""},
        {ID "\\", false, ""},
        {ID "....", false, ""},
        {0x00080050, "A%3", false, "3"},
        {0x00080050, "A%*", false, "3"},
        {NAME "muller^jurgen", false, "1"},
        {NAME "MÜLLER*", false, "1"},
        {NAME "m*", false, "1 2"},
        {NAME "m?ller*", false, "1 2"},
        {NAME "miller", false, ""},
        {NAME "miller^jane^^dr^", false, "2"},
        {NAME "山田*", false, "3"},
        {NAME "*太郎", false, "3"},
        {NAME "やまだ^たろう", false, "3"},
        {NAME "yamada*=山田*", false, "3"},
        {NAME "yamada*=xx", false, ""},
        {NAME "jane", true, "2"},
        {NAME "jan mil", true, "2"},
        {NAME "ju", true, "1"},
        {NAME "jane muller", true, ""},
        {NAME "山", true, "3"},
        {NAME "mill^j", true, "2"},
        {0x00081030, "brain*", false, "1"},
        {0x00081030, "100%", false, "3"},
        {0x00081030, "BRAIN CT", false, "1"},
        {0x0020000D, "1.1", false, "1"},
        {0x0020000D, "1.1,1.3", false, "1 3"},
        {0x0020000D, "1.2\\1.4", false, "2 4"},
        {0x0020000D, "9.9", false, ""},
        {0x00080020, "20200102", false, "2"},
        {0x00080020, "20200102-20200102", false, "2"},
        {0x00080020, "20200102-", false, "2 3"},
        {0x00080020, "-20200102", false, "1 2"},
        {0x00080020, "20200102-20200103", false, "2 3"},
        {0x00080030, "12", false, "2"},
        {0x00080030, "1000-1159", false, ""},
        {0x00080030, "1000-1200", false, "2"},
        {0x00080030, "120000.5", false, "2"},
        {0x00080030, "-08", false, "1"},
        {0x00080030, "120000", false, "2"},
        {0x00080061, "CT", false, "1 3"},
        {0x00080061, "SR", false, "3"},
        {0x00080061, "KO", false, "3"},
        {0x00080061, "MR\\SR", false, "2 3"},
        {0x00080061, "*R", false, "2 3"},
        {0x00201206, "2", false, "3"},
        {0x00201208, "1", false, "1 2 4"},
        {0x00080060, "SR", false, "3"},
        {0x00080018, "1.2.1", false, "2"},
        {0x0020000E, "1.3.9", false, "3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_BUFFER json = {0};
        char found[16];
        term_t term = {cases[i].tag, cases[i].value};
        assert_int_equal(bench_find(&bench, LEVEL_STUDY, &term, 1, cases[i].fuzzy, &json),
                         STATUS_OK);
        found_studies(&json, found);
        if (strcmp(found, cases[i].found) != 0)
            fail_msg("%08X=%s: found \"%s\" instead of \"%s\"", cases[i].tag, cases[i].value, found,
                     cases[i].found);
    }
}

static void test_bad_keys(void **state)
{
    (void)state;
    static const struct {
        uint32_t tag;
        const char *value;
    } cases[] = {
        {0x00080020, "notadate"}, {0x00080020, "-"},     {0x00080020, "20201301"},
        {0x00080030, "25"},       {0x00080030, "1"},     {0x00090010, "x"},
        {0x7FE00010, ""},         {0x0020000D, "1.2/3"}, {0x00200013, "one"},
        {0x00101030, "70"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_BUFFER json = {0};
        term_t term = {cases[i].tag, cases[i].value};
        if (bench_find(&bench, LEVEL_STUDY, &term, 1, false, &json) != STATUS_INVALID)
            fail_msg("%08X=%s is taken", cases[i].tag, cases[i].value);
    }
}

static void test_instants(void **state)
{
    (void)state;
    static const struct {
        const char *dates, *times, *found;
    } cases[] = {
        {"20200101-20200102", "0900-1300", "2"},
        {"20200101-20200103", "0700-1200", "1 2"},
        {"20200101-20200103", "0700-1800", "1 2 3"},
        {"20200102-", "1300-", "3"},
        {"20200101", "0700-0900", "1"},
        {"20200103", "0700-0900", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_BUFFER json = {0};
        char found[16];
        term_t terms[] = {{0x00080030, cases[i].times}, {0x00080020, cases[i].dates}};
        assert_int_equal(bench_find(&bench, LEVEL_STUDY, terms, 2, false, &json), STATUS_OK);
        found_studies(&json, found);
        if (strcmp(found, cases[i].found) != 0)
            fail_msg("%s %s: found \"%s\" instead of \"%s\"", cases[i].dates, cases[i].times, found,
                     cases[i].found);
    }
}

static void test_levels(void **state)
{
    (void)state;
    AUTO_BUFFER series = {0}, instances = {0};
    term_t by_modality = {0x00080060, "CT"}, by_patient = {0x00100020, "pat_3"};
    assert_int_equal(bench_find(&bench, LEVEL_SERIES, &by_modality, 1, false, &series), STATUS_OK);
    assert_int_equal(lines_count(&series), 2);
    assert_non_null(strstr(buffer_text(&series), "\"00201209\":{\"vr\":\"IS\",\"Value\":[1]}"));
    assert_non_null(strstr(buffer_text(&series), "M\xC3\xBCller^J\xC3\xBCrgen"));
    assert_int_equal(bench_find(&bench, LEVEL_INSTANCE, &by_patient, 1, false, &instances),
                     STATUS_OK);
    assert_int_equal(lines_count(&instances), 3);
    assert_non_null(strstr(buffer_text(&instances), "\"Value\":[\"CT\",\"KO\",\"SR\"]"));
    assert_non_null(
        strstr(buffer_text(&instances), "\"00280010\":{\"vr\":\"US\",\"Value\":[512]}"));
}

/* Keys ascend, and the required ones stand there without a value too (study 1.4 has none). */
static void test_shape(void **state)
{
    (void)state;
    AUTO_BUFFER json = {0};
    term_t term = {0x0020000D, "1.4"};
    assert_int_equal(bench_find(&bench, LEVEL_STUDY, &term, 1, false, &json), STATUS_OK);
    static const char *const members[] = {
        "\"00080005\":{\"vr\":\"CS\",\"Value\":[\"ISO_IR 192\"]}",
        "\"00080020\":{\"vr\":\"DA\"}",
        "\"00080030\":{\"vr\":\"TM\"}",
        "\"00080050\":{\"vr\":\"SH\"}",
        "\"00080061\":{\"vr\":\"CS\"}",
        "\"00080090\":{\"vr\":\"PN\"}",
        "\"00100010\":{\"vr\":\"PN\"}",
        "\"00100020\":{\"vr\":\"LO\"}",
        "\"0020000D\":{\"vr\":\"UI\",\"Value\":[\"1.4\"]}",
        "\"00201206\":{\"vr\":\"IS\",\"Value\":[1]}",
        "\"00201208\":{\"vr\":\"IS\",\"Value\":[1]}",
    };
    const char *position = buffer_text(&json);
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        const char *next = strstr(position, members[i]);
        if (!next)
            fail_msg("%s is missing or out of order in %s", members[i], buffer_text(&json));
        position = next + 1;
    }
}

static void test_unknown_scope_sees_nothing(void **state)
{
    (void)state;
    Index__Scope scopes[] = {INDEX__SCOPE__INIT, INDEX__SCOPE__INIT};
    scopes[1].kind = (Index__Scope__Kind)77;
    Index__Scope *const all[] = {NULL, &scopes[0], &scopes[1]};
    for (size_t i = 0; i < 3; i++) {
        Index__Find query = INDEX__FIND__INIT;
        Index__Found reply = INDEX__FOUND__INIT;
        query.level = INDEX__LEVEL__STUDY;
        query.scope = all[i];
        assert_int_equal(find_run(bench.reader, &query, &reply), STATUS_OK);
        assert_int_equal(reply.n_matches, 0);
        Index__Locate where = INDEX__LOCATE__INIT;
        Index__Located located = INDEX__LOCATED__INIT;
        where.study_instance_uid = (char *)"1.1";
        where.scope = all[i];
        assert_int_equal(locate_run(bench.reader, &where, &located), STATUS_NOT_FOUND);
    }
}

/* Every attribute of the table that says it can be matched, at every level. */
static void test_every_attribute(void **state)
{
    (void)state;
    for (size_t i = 0; i < attribute_count; i++) {
        static const char *const values[] = {
            [MATCH_UID] = "1.2.3", [MATCH_EXACT] = "X*",      [MATCH_TEXT] = "x?y",
            [MATCH_NAME] = "x^y",  [MATCH_DATE] = "20200101", [MATCH_TIME] = "1200",
            [MATCH_NUMBER] = "7",  [MATCH_MODALITIES] = "CT",
        };
        if (attributes[i].match == MATCH_NONE)
            continue;
        for (int level = LEVEL_STUDY; level <= LEVEL_INSTANCE; level++) {
            AUTO_BUFFER json = {0};
            term_t term = {attributes[i].tag, values[attributes[i].match]};
            if (bench_find(&bench, (level_t)level, &term, 1, false, &json) != STATUS_OK)
                fail_msg("%08X at level %d: %s", attributes[i].tag, level, fail_detail());
        }
        assert_true(i == 0 || attributes[i - 1].tag < attributes[i].tag);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_key),         cmocka_unit_test(test_bad_keys),
        cmocka_unit_test(test_instants),        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_shape),           cmocka_unit_test(test_unknown_scope_sees_nothing),
        cmocka_unit_test(test_every_attribute),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
