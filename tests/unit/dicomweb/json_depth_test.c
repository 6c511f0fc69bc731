/* How deep a JSON text is nested, told without a parser. */
#include "dicomweb/manage/json_depth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { DEPTH = 3, MANY = 1000 * 1000 };

static const struct {
    const char *text;
    bool is_shallow;
} cases[] = {
    {"", true},
    {"{}", true},
    {"[[[]]]", true},
    {"[[[[]]]]", false},
    {"{\"a\":[{}]}", true},
    {"{\"a\":[{\"b\":[]}]}", false},
    {"[[[", true},
    {"[[[{", false},
    {"[][][][]{}{}", true},
    {"]]]][[[", true}, /* closing what was never open makes no room */
    {"]]]][[[[", false},
    {"\"[[[[[\"", true},     /* brackets in a string are text */
    {"\"\\\"[[[[[\"", true}, /* a quote behind a backslash ends none */
    {"\"\\\\\"[[[[", false}, /* a backslash behind a backslash is no quote's */
    {"[\"]\",\"]\",[[[", false},
    {"\"never closed [[[[", true}, /* jansson refuses it */
    {"\"\\", true},
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (json_is_shallow(cases[i].text, strlen(cases[i].text), DEPTH) != cases[i].is_shallow)
            fail_msg("%s", cases[i].text);
}

static void test_a_million_levels(void **state)
{
    (void)state;
    char *text = malloc(MANY);
    memset(text, '[', MANY);
    assert_false(json_is_shallow(text, MANY, DEPTH));
    assert_false(json_is_shallow(text, DEPTH + 1, DEPTH));
    assert_true(json_is_shallow(text, DEPTH, DEPTH));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_a_million_levels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
