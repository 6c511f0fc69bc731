/* Associations in all and per address; and what a context's UIDs are taken for. */
#include "dimse/door/limits.h"
#include "dimse/association/negotiation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_limits(void **state)
{
    (void)state;
    address_t a, b;
    assert_int_equal(address_parse("192.0.2.1", &a), STATUS_OK);
    assert_int_equal(address_parse("192.0.2.2", &b), STATUS_OK);
    limits_t *limits = limits_create(3, 2);
    assert_int_equal(limits_take(limits, &a), LIMITS_OK);
    assert_int_equal(limits_take(limits, &a), LIMITS_OK);
    assert_int_equal(limits_take(limits, &a), LIMITS_ADDRESS);
    assert_int_equal(limits_take(limits, &b), LIMITS_OK);
    assert_int_equal(limits_take(limits, &b), LIMITS_TOTAL);
    limits_give(limits, &a);
    assert_int_equal(limits_in_use(limits), 2);
    assert_int_equal(limits_take(limits, &b), LIMITS_OK);
    limits_give(limits, &a);
    limits_give(limits, &a); /* has none any more: changes nothing */
    assert_int_equal(limits_in_use(limits), 2);
    limits_destroy(&limits);
    assert_null(limits);
}

static void test_services(void **state)
{
    (void)state;
    char *roots[] = {(char *)"1.3", (char *)"1.2.840"};
    const config_list_t private_roots = {roots, 2};
    static const struct {
        const char *uid;
        dimse_service_t service;
    } cases[] = {
        {"1.2.840.10008.1.1", SERVICE_VERIFICATION},
        {"1.2.840.10008.5.1.4.1.1.2", SERVICE_STORAGE},
        {"1.2.840.10008.5.1.4.1.1.9999.1", SERVICE_STORAGE},
        {"1.2.840.10008.5.1.4.34.7", SERVICE_STORAGE},
        {"1.2.840.10008.5.1.4.1.10", SERVICE_NONE}, /* not below ...4.1.1 */
        {"1.2.840.10008.5.1.4.1.2.2.1", SERVICE_NONE},
        {"1.2.840.10008.1.20.1", SERVICE_NONE},
        {"1.2.840.10008.99", SERVICE_NONE}, /* the standard's, though below 1.2.840 */
        {"1.2.840.113619.4.26", SERVICE_STORAGE},
        {"1.3.12.2.1107.5.9.1", SERVICE_STORAGE},
        {"1.34.5", SERVICE_NONE}, /* not below 1.3 */
        {"1.2.3.4", SERVICE_NONE},
        {"", SERVICE_NONE},
        {"1.3./x", SERVICE_NONE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (negotiation_service(cases[i].uid, &private_roots) != cases[i].service)
            fail_msg("'%s'", cases[i].uid);
}

static void test_transfer_syntaxes(void **state)
{
    (void)state;
    char *roots[] = {(char *)"1.2.840"};
    const config_list_t private_roots = {roots, 1};
    static const struct {
        const char *first, *second, *taken;
    } cases[] = {
        {"1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2", "1.2.840.10008.1.2.4.90"},
        {"1.2.3.4.5", "1.2.840.10008.1.2", "1.2.840.10008.1.2"},
        {"1.2.840.10008.1.2.4.999", "", "1.2.840.10008.1.2.4.999"}, /* a later edition's */
        {"1.2.840.113619.5.2", "", "1.2.840.113619.5.2"},
        {"1.2.3.4.5", "", NULL},
        {"1.2.840.10008.1.21", "", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        association_context_t context = {.id = 1, .transfer_syntax_count = 2};
        strcpy(context.transfer_syntax_uids[0], cases[i].first);
        strcpy(context.transfer_syntax_uids[1], cases[i].second);
        const char *taken = negotiation_transfer_syntax(&context, &private_roots);
        if (!taken != !cases[i].taken || (taken && strcmp(taken, cases[i].taken) != 0))
            fail_msg("row %zu: %s", i, taken ? taken : "none");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_services),
        cmocka_unit_test(test_transfer_syntaxes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
