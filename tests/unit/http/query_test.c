#include "base/buffer.h"
#include "http/http.h"
#include "http/query.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void parses_queries(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        status_t status;
        const char *terms; /* name=value, each with a '|' behind it */
    } cases[] = {
        {"", STATUS_OK, ""},
        {"a=1", STATUS_OK, "a=1|"},
        {"a=1&b=2&a=3", STATUS_OK, "a=1|b=2|a=3|"},
        {"a", STATUS_OK, "a=|"},
        {"a=", STATUS_OK, "a=|"},
        {"=1", STATUS_OK, "=1|"},
        {"&&a=1&", STATUS_OK, "a=1|"},
        {"a=1=2", STATUS_OK, "a=1=2|"},
        {"PatientName=M%C3%BCller%5EJ*", STATUS_OK, "PatientName=M\xc3\xbcller^J*|"},
        {"a=x+y", STATUS_OK, "a=x+y|"},
        {"a=%26%3d%25", STATUS_OK, "a=&=%|"},
        {"%61=1", STATUS_OK, "a=1|"},
        {"a=%", STATUS_INVALID, ""},
        {"a=%4", STATUS_INVALID, ""},
        {"a=%4&b=1", STATUS_INVALID, ""},
        {"a=%g0", STATUS_INVALID, ""},
        {"a=1&b=%00", STATUS_INVALID, ""},
        {"a=%FC", STATUS_INVALID, ""},
        {"a=%C0%80", STATUS_INVALID, ""},
        {"a=%ED%A0%80", STATUS_INVALID, ""},
        {"a=%F4%90%80%80", STATUS_INVALID, ""},
        {"a=%F0%9F%A9%BB", STATUS_OK, "a=\xf0\x9f\xa9\xbb|"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_BUFFER terms = {0};
        http_query_t query = {0};
        status_t status = http_query_parse(cases[i].query, &query);
        for (size_t k = 0; k < query.count; k++)
            buffer_printf(&terms, "%s=%s|", query.terms[k].name, query.terms[k].value);
        if (status != cases[i].status || strcmp(buffer_text(&terms), cases[i].terms) != 0)
            fail_msg("%s: %s, %s", cases[i].query, status_name(status), buffer_text(&terms));
        http_query_destroy(&query);
        http_query_destroy(&query);
    }
}

static void has_limits(void **state)
{
    (void)state;
    AUTO_BUFFER text = {0};
    http_query_t query = {0};
    for (int i = 0; i < HTTP_QUERY_TERMS_MAX; i++)
        buffer_append_text(&text, "a&");
    assert_int_equal(http_query_parse(buffer_text(&text), &query), STATUS_OK);
    assert_int_equal(query.count, HTTP_QUERY_TERMS_MAX);
    http_query_destroy(&query);
    buffer_append_text(&text, "a");
    assert_int_equal(http_query_parse(buffer_text(&text), &query), STATUS_TOO_LARGE);
    while (text.length <= HTTP_URI_MAX)
        buffer_append_byte(&text, '&');
    assert_int_equal(http_query_parse(buffer_text(&text), &query), STATUS_TOO_LARGE);
    assert_null(query.terms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_queries),
        cmocka_unit_test(has_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
