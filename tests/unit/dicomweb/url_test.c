#include "dicomweb/form/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const struct {
    const char *public_url, *scheme, *host, *expected;
} cases[] = {
    {"", NULL, "127.0.0.1:30080", "http://127.0.0.1:30080/dicom-web"},
    {NULL, "https", "pacs.example.org", "https://pacs.example.org/dicom-web"},
    {"", "gopher", "[::1]:8080", "http://[::1]:8080/dicom-web"},
    {"https://a.example/", "http", "b.example", "https://a.example/dicom-web"},
    {"", NULL, NULL, "/dicom-web"},
    {"", NULL, "", "/dicom-web"},
    {"", NULL, "a\"b", "/dicom-web"},
    {"", NULL, "a/b", "/dicom-web"},
    {"", NULL, "user@host", "/dicom-web"},
};

static void builds_the_base(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_BUFFER url = {0};
        url_append_base(&url, cases[i].public_url, cases[i].scheme, cases[i].host);
        assert_string_equal(buffer_text(&url), cases[i].expected);
    }
}

static void names_targets(void **state)
{
    (void)state;
    AUTO_BUFFER url = {0};
    url_append_target(&url, "1.2", NULL, NULL);
    assert_string_equal(buffer_text(&url), "/studies/1.2");
    buffer_clear(&url);
    url_append_target(&url, "1.2", "3.4", "");
    assert_string_equal(buffer_text(&url), "/studies/1.2/series/3.4");
    buffer_clear(&url);
    url_append_target(&url, "1.2", "3.4", "5.6");
    assert_string_equal(buffer_text(&url), "/studies/1.2/series/3.4/instances/5.6");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(builds_the_base),
                                       cmocka_unit_test(names_targets)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
