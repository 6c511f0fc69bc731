#include "fixture.h"

#include "pack/rate.h"

static void waits_as_the_rate_says(void **state)
{
    (void)state;
    enum { START = 1000000 };
    static const struct {
        const char *name;
        uint64_t rate;
        struct {
            uint64_t bytes;
            int64_t at_ms, wait_ms;
        } takes[4];
    } cases[] = {
        {"no limit", 0, {{UINT64_MAX, 0, 0}, {UINT64_MAX, 0, 0}}},
        {"a burst is free, then each has to be paid",
         1000,
         {{250, 0, 0}, {100, 0, 100}, {50, 0, 150}}},
        {"what has been waited for is paid", 1000, {{1250, 0, 1000}, {500, 1000, 500}}},
        {"a pause saves no more than a burst", 1000, {{250, 0, 0}, {350, 60000, 100}}},
        {"nothing costs nothing", 1000, {{250, 0, 0}, {0, 0, 0}, {0, 0, 0}}},
        {"a wait is bounded, and sizes do not wrap", 1, {{UINT64_MAX, 0, 3600000 - 250}}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("%s\n", cases[i].name);
        rate_t rate = {.bytes_per_second = cases[i].rate};
        for (size_t k = 0; k < 4; k++)
            if (cases[i].takes[k].bytes || cases[i].takes[k].at_ms)
                assert_int_equal(
                    rate_take(&rate, cases[i].takes[k].bytes, START + cases[i].takes[k].at_ms),
                    cases[i].takes[k].wait_ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(waits_as_the_rate_says)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
