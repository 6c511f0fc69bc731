#include "dicomweb/query/query_parse.h"

#include "base/buffer.h"

#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const struct {
    const char *query;
    status_t expected;
    size_t terms, fields;
} cases[] = {
    {"", STATUS_OK, 0, 0},
    {"PatientName=A*&00100020=7", STATUS_OK, 2, 0},
    {"StudyInstanceUID=1.2&StudyInstanceUID=1.2", STATUS_OK, 1, 0},
    {"StudyInstanceUID=1.2&0020000D=1.3", STATUS_OK, 2, 0},
    {"includefield=00081030%2C00080060,PatientAge", STATUS_OK, 0, 3},
    {"includefield=PatientAge&includefield=StudyDescription", STATUS_OK, 0, 2},
    {"includefield=00400275.00400009", STATUS_OK, 0, 1},
    {"includefield=RequestAttributesSequence.ScheduledProcedureStepID", STATUS_OK, 0, 1},
    {"includefield=all", STATUS_OK, 0, 0},
    {"includefield=NoSuchThing", STATUS_INVALID, 0, 0},
    {"includefield=00400275.", STATUS_INVALID, 0, 0},
    {"limit=10&limit=10&offset=3", STATUS_OK, 0, 0},
    {"limit=10&limit=11", STATUS_INVALID, 0, 0},
    {"limit=-1", STATUS_INVALID, 0, 0},
    {"limit=abc", STATUS_INVALID, 0, 0},
    {"limit=", STATUS_INVALID, 0, 0},
    {"limit=99999999999", STATUS_INVALID, 0, 0},
    {"offset=-5", STATUS_INVALID, 0, 0},
    {"offset=x", STATUS_INVALID, 0, 0},
    {"fuzzymatching=true", STATUS_OK, 0, 0},
    {"fuzzymatching=maybe", STATUS_INVALID, 0, 0},
    {"NoSuchAttribute=1", STATUS_INVALID, 0, 0},
    {"0010=1", STATUS_INVALID, 0, 0},
    {"00400275.00400009=1", STATUS_INVALID, 0, 0},
    {"accept=application%2Fdicom%2Bjson", STATUS_OK, 0, 0},
};

static void reads_queries(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        http_query_t parameters = {0};
        static qido_query_t query;
        memset(&query, 0, sizeof query);
        assert_int_equal(http_query_parse(cases[i].query, &parameters), STATUS_OK);
        status_t got = qido_query_parse(&parameters, &query);
        if (got != cases[i].expected)
            fail_msg("%s: %s", cases[i].query, status_name(got));
        assert_int_equal(query.term_count, cases[i].terms);
        assert_int_equal(query.field_count, cases[i].fields);
        http_query_destroy(&parameters);
    }
}

static void understands_switches(void **state)
{
    (void)state;
    http_query_t parameters = {0};
    static qido_query_t query;
    assert_int_equal(http_query_parse("includefield=ALL&fuzzymatching=true&limit=7&offset=9"
                                      "&includefield=00400275.00400009",
                                      &parameters),
                     STATUS_OK);
    assert_int_equal(qido_query_parse(&parameters, &query), STATUS_OK);
    assert_true(query.include_all);
    assert_true(query.fuzzy);
    assert_true(query.has_limit);
    assert_int_equal(query.limit, 7);
    assert_int_equal(query.offset, 9);
    assert_int_equal(query.fields[0], 0x00400275);
    http_query_destroy(&parameters);
}

static void never_repeats_a_value(void **state)
{
    (void)state;
    http_query_t parameters = {0};
    static qido_query_t query;
    assert_int_equal(http_query_parse("Muster%0A%22Name=Doe", &parameters), STATUS_OK);
    assert_int_equal(qido_query_parse(&parameters, &query), STATUS_INVALID);
    assert_null(strstr(fail_detail(), "Doe"));
    assert_null(strchr(fail_detail(), '\n'));
    http_query_destroy(&parameters);
}

/* '|' marks the place; it is taken out before the object is read. */
static const char *const marked[] = {
    "{|}",
    "{\"00080005\":{\"vr\":\"CS\"}|}",
    "{\"00080005\":{\"vr\":\"CS\"},|\"00082111\":{\"vr\":\"ST\"}}",
    "{|\"00100010\":{\"vr\":\"PN\"}}",
    /* A value that looks like a key, an escaped quote, a deeper key: none of them counts. */
    "{\"00080005\":{\"vr\":\"CS\",\"Value\":[\"00990000\",\"\\\"\"]},|\"00100010\":{}}",
    "{\"00080006\":{\"vr\":\"SQ\",\"Value\":[{\"00990000\":{}},{\"1\":2}]},|\"0020000D\":{}}",
};

static void finds_the_place_of_the_url(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof marked / sizeof *marked; i++) {
        AUTO_BUFFER json = {0};
        size_t expected = (size_t)(strchr(marked[i], '|') - marked[i]);
        buffer_append(&json, marked[i], expected);
        buffer_append_text(&json, marked[i] + expected + 1);
        size_t got = qido_url_position(buffer_text(&json), json.length);
        if (got != expected)
            fail_msg("%s: %zu instead of %zu", marked[i], got, expected);
    }
    assert_int_equal(qido_url_position("{\"0008", 6), 6); /* cut: never behind what is there */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_queries), cmocka_unit_test(understands_switches),
        cmocka_unit_test(never_repeats_a_value), cmocka_unit_test(finds_the_place_of_the_url)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
