#include "base/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#undef fail /* cmocka has a macro of that name */

static void test_fail_keeps_the_reason(void **state)
{
    (void)state;
    assert_int_equal(fail(STATUS_INVALID, "SOP Instance UID has %d bytes", 65), STATUS_INVALID);
    assert_string_equal(fail_detail(), "SOP Instance UID has 65 bytes");
    char longer[2000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    fail(STATUS_INTERNAL, "%s", longer);
    assert_int_equal(strlen(fail_detail()), 511);
}

static void test_every_status_has_its_codes(void **state)
{
    (void)state;
    for (int status = 0; status < STATUS_COUNT; status++) {
        assert_non_null(status_name((status_t)status));
        assert_in_range(status_to_http((status_t)status), 200, 599);
    }
    assert_int_equal(status_to_dimse(STATUS_OK), 0x0000);
    assert_int_equal(status_to_dimse(STATUS_UNAVAILABLE), 0xA700);
    assert_int_equal(status_to_dimse(STATUS_CONFLICT), 0xA900);
    assert_int_equal(status_to_dimse(STATUS_INVALID), 0xC000);
    assert_string_equal(status_name((status_t)99), "INTERNAL");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fail_keeps_the_reason),
        cmocka_unit_test(test_every_status_has_its_codes),
    };
    return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
