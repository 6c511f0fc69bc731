#include "dicomweb/form/byte_range.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const struct {
    const char *header;
    uint64_t total;
    byte_range_t expected;
    uint64_t first, length;
} cases[] = {
    {NULL, 100, BYTE_RANGE_WHOLE, 0, 0},
    {"bytes=0-9", 100, BYTE_RANGE_PART, 0, 10},
    {"bytes=10-", 100, BYTE_RANGE_PART, 10, 90},
    {"bytes=-5", 100, BYTE_RANGE_PART, 95, 5},
    {"bytes=-500", 100, BYTE_RANGE_PART, 0, 100},
    {"bytes=99-1000", 100, BYTE_RANGE_PART, 99, 1},
    {"bytes=0-18446744073709551615", 100, BYTE_RANGE_PART, 0, 100},
    {"bytes=100-", 100, BYTE_RANGE_UNSATISFIABLE, 0, 0},
    {"bytes=-0", 100, BYTE_RANGE_UNSATISFIABLE, 0, 0},
    {"bytes=0-", 0, BYTE_RANGE_UNSATISFIABLE, 0, 0},
    {"bytes=-1", 0, BYTE_RANGE_UNSATISFIABLE, 0, 0},
    {"bytes=5-3", 100, BYTE_RANGE_WHOLE, 0, 0},
    {"bytes=0-1,5-6", 100, BYTE_RANGE_WHOLE, 0, 0},
    {"bytes=", 100, BYTE_RANGE_WHOLE, 0, 0},
    {"bytes=-", 100, BYTE_RANGE_WHOLE, 0, 0},
    {"bytes=a-b", 100, BYTE_RANGE_WHOLE, 0, 0},
    {"bytes=99999999999999999999-", 100, BYTE_RANGE_WHOLE, 0, 0},
    {"lines=0-9", 100, BYTE_RANGE_WHOLE, 0, 0},
};

static void reads_ranges(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t first = 0, length = 0;
        byte_range_t got = byte_range_parse(cases[i].header, cases[i].total, &first, &length);
        if (got != cases[i].expected)
            fail_msg("%s: %d instead of %d", cases[i].header, (int)got, (int)cases[i].expected);
        if (got == BYTE_RANGE_PART) {
            assert_int_equal(first, cases[i].first);
            assert_int_equal(length, cases[i].length);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads_ranges)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
