#include "base/text.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/ulid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static void test_uid_is_valid(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool valid;
    } cases[] = {
        {"1.2.840.10008.1.2", true},
        {"", false},
        {"05fa52f0e599f17b8186ff18fcdf2b5570a52206a75c4d03afebf5c475dc8758", true},
        {"1.2*", false},
        {"1.2\\1.3", false},
        {"../etc", false},
        {"..", false},
        {".1", false},
        {"-rf", false},
        {"1.2 ", false},
        {"1234567890123456789012345678901234567890123456789012345678901234", true},
        {"12345678901234567890123456789012345678901234567890123456789012345", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(uid_is_valid(cases[i].text), cases[i].valid);
}

static void test_uid_copy_takes_padding_off(void **state)
{
    (void)state;
    uid_text_t uid;
    assert_true(uid_copy(uid, "1.2.3\0", 6));
    assert_string_equal(uid, "1.2.3");
    assert_true(uid_copy(uid, "1.2.3 ", 6));
    assert_string_equal(uid, "1.2.3");
    assert_true(uid_copy(uid, NULL, 0));
    assert_string_equal(uid, "");
    assert_false(uid_copy(uid, "1\0002", 3));
    char longer[80];
    memset(longer, '1', sizeof longer);
    assert_false(uid_copy(uid, longer, 65));
    assert_true(uid_copy(uid, longer, 64));
}

static void test_text_to_uint64(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        uint64_t value;
    } cases[] = {
        {"0", true, 0},    {"18446744073709551615", true, UINT64_MAX},
        {"", false, 0},    {"18446744073709551616", false, 0},
        {"-1", false, 0},  {"+1", false, 0},
        {"1e3", false, 0}, {" 1", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t value = 0;
        assert_int_equal(text_to_uint64(cases[i].text, &value), cases[i].ok);
        assert_true(value == cases[i].value);
    }
}

static void test_buffer_append_json(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        size_t length;
        const char *json;
    } cases[] = {
        {"plain", "abc", 3, "\"abc\""},
        {"quote and backslash", "a\"\\", 3, "\"a\\\"\\\\\""},
        {"control bytes", "\x1b\n\x7f", 3, "\"\\u001b\\u000a\\u007f\""},
        {"NUL", "a\0b", 3, "\"a\\u0000b\""},
        {"UTF-8", "\xC3\xA9\xE5\xB1\xB1\xF0\x9F\x98\x80", 9,
         "\"\xC3\xA9\xE5\xB1\xB1\xF0\x9F\x98\x80\""},
        {"overlong", "\xC0\xAF", 2, "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},
        {"surrogate", "\xED\xA0\x80", 3, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
        {"cut", "\xE5\xB1", 2, "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},
        {"over U+10FFFF", "\xF4\x90\x80\x80", 4,
         "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_BUFFER out = {0};
        buffer_append_json(&out, cases[i].text, cases[i].length);
        assert_string_equal(buffer_text(&out), cases[i].json);
    }
}

static void test_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *made;
    } cases[] = {
        {"nothing", "", ""},
        {"ASCII", "CT1", "CT1"},
        {"UTF-8", "M\xC3\xBCller \xF0\x9F\x98\x80", "M\xC3\xBCller \xF0\x9F\x98\x80"},
        {"ISO 8859-1", "M\xFCller", "M?ller"},
        {"cut at the end", "\xE5\xB1\xB1\xE5\xB1", "\xE5\xB1\xB1??"},
        {"surrogate", "\xED\xA0\x80", "???"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[32];
        strcpy(text, cases[i].text);
        assert_int_equal(text_is_utf8(text, strlen(text)), strcmp(text, cases[i].made) == 0);
        text_make_utf8(text);
        assert_string_equal(text, cases[i].made);
        assert_true(text_is_utf8(text, strlen(text)));
    }
    assert_int_equal(text_utf8_cut("abc", 3, 3), 3);
    assert_int_equal(text_utf8_cut("abc", 3, 2), 2);
    assert_int_equal(text_utf8_cut("a\xC3\xBC", 3, 2), 1);
    assert_int_equal(text_utf8_cut("\xF0\x9F\x98\x80", 4, 3), 0);
}

static void test_clock_format(void **state)
{
    (void)state;
    char text[28];
    clock_format(INT64_C(951782400000001), text);
    assert_string_equal(text, "2000-02-29T00:00:00.000001Z");
}

static void test_ulids_differ_and_sort(void **state)
{
    (void)state;
    ulid_t first = ulid_make(), second = ulid_make();
    assert_true(ulid_is_valid(first.text));
    assert_string_not_equal(first.text, second.text);
    assert_true(strncmp(first.text, second.text, 10) <= 0);
    assert_false(ulid_is_valid("../../../../etc/passwd0000"));
    assert_false(ulid_is_valid("0123"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uid_is_valid),
        cmocka_unit_test(test_uid_copy_takes_padding_off),
        cmocka_unit_test(test_text_to_uint64),
        cmocka_unit_test(test_buffer_append_json),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_clock_format),
        cmocka_unit_test(test_ulids_differ_and_sort),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
