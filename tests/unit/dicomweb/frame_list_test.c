#include "base/buffer.h"
#include "dicomweb/retrieve/frame_list.h"

#include <stdlib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const struct {
    const char *text;
    status_t expected;
    size_t count;
    uint32_t numbers[4];
} cases[] = {
    {"1", STATUS_OK, 1, {1}},         {"3,1,2", STATUS_OK, 3, {3, 1, 2}},
    {"7,7", STATUS_OK, 2, {7, 7}},    {"4294967295", STATUS_OK, 1, {4294967295u}},
    {"0", STATUS_INVALID, 0, {0}},    {"4294967296", STATUS_INVALID, 0, {0}},
    {"-1", STATUS_INVALID, 0, {0}},   {"abc", STATUS_INVALID, 0, {0}},
    {"", STATUS_INVALID, 0, {0}},     {"1,", STATUS_INVALID, 0, {0}},
    {",1", STATUS_INVALID, 0, {0}},   {"1,,2", STATUS_INVALID, 0, {0}},
    {"1 ,2", STATUS_INVALID, 0, {0}}, {"1.5", STATUS_INVALID, 0, {0}},
};

static void reads_lists(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        frame_list_t list = {0};
        status_t got = frame_list_parse(cases[i].text, &list);
        if (got != cases[i].expected)
            fail_msg("'%s': %s", cases[i].text, status_name(got));
        assert_int_equal(list.count, cases[i].count);
        for (size_t j = 0; j < list.count; j++)
            assert_int_equal(list.numbers[j], cases[i].numbers[j]);
        free(list.numbers);
    }
}

static void has_a_limit(void **state)
{
    (void)state;
    AUTO_BUFFER text = {0};
    frame_list_t list = {0};
    for (int i = 0; i < FRAME_LIST_MAX; i++)
        buffer_append_text(&text, "1,");
    buffer_append_text(&text, "1");
    assert_int_equal(frame_list_parse(buffer_text(&text), &list), STATUS_TOO_LARGE);
    text.length -= 2;
    assert_int_equal(frame_list_parse(buffer_text(&text), &list), STATUS_OK);
    assert_int_equal(list.count, FRAME_LIST_MAX);
    free(list.numbers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads_lists),
                                       cmocka_unit_test(has_a_limit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
