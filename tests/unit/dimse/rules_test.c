/* Who may connect: addresses, ranges, AE titles, the loopback default. */
#include "dimse/association/rules.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static address_t address(const char *text)
{
    address_t result;
    assert_int_equal(address_parse(text, &result), STATUS_OK);
    return result;
}

static void test_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *formatted; /* formatted NULL: refused */
        bool is_loopback;
    } cases[] = {
        {"127.0.0.1", "127.0.0.1", true},
        {"127.9.9.9", "127.9.9.9", true},
        {"::1", "::1", true},
        {"::ffff:127.0.0.1", "127.0.0.1", true},
        {"192.0.2.7", "192.0.2.7", false},
        {"2001:db8::7", "2001:db8::7", false},
        {"0.0.0.0", "0.0.0.0", false},
        {"::", "::", false},
        {"localhost", NULL, false},
        {"192.0.2", NULL, false},
        {"", NULL, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        address_t parsed;
        status_t status = address_parse(cases[i].text, &parsed);
        if ((status == STATUS_OK) != (cases[i].formatted != NULL))
            fail_msg("%s: %s", cases[i].text, status_name(status));
        if (status != STATUS_OK)
            continue;
        char text[ADDRESS_TEXT_SIZE];
        address_format(&parsed, text);
        assert_string_equal(text, cases[i].formatted);
        assert_int_equal(address_is_loopback(&parsed), cases[i].is_loopback);
    }
}

static void test_ranges(void **state)
{
    (void)state;
    static const struct {
        const char *range, *address;
        bool contains;
    } cases[] = {
        {"192.0.2.0/24", "192.0.2.255", true},      {"192.0.2.0/24", "192.0.3.0", false},
        {"192.0.2.128/25", "192.0.2.127", false},   {"192.0.2.128/25", "192.0.2.128", true},
        {"192.0.2.7", "192.0.2.7", true},           {"192.0.2.7", "192.0.2.6", false},
        {"192.0.2.7/31", "192.0.2.6", true},        {"0.0.0.0/0", "203.0.113.1", true},
        {"0.0.0.0/0", "2001:db8::1", false},        {"::/0", "2001:db8::1", true},
        {"2001:db8::/33", "2001:db8:7fff::", true}, {"2001:db8::/33", "2001:db8:8000::", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cidr_t range;
        assert_int_equal(cidr_parse(cases[i].range, &range), STATUS_OK);
        address_t one = address(cases[i].address);
        if (cidr_contains(&range, &one) != cases[i].contains)
            fail_msg("%s in %s", cases[i].address, cases[i].range);
    }
}

static void test_wrong_ranges(void **state)
{
    (void)state;
    static const char *const cases[] = {"",
                                        "/8",
                                        "192.0.2.0/",
                                        "192.0.2.0/33",
                                        "192.0.2.0/-1",
                                        "::/129",
                                        "192.0.2.0/24/8",
                                        "example.org/8"};
    cidr_t range;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (cidr_parse(cases[i], &range) != STATUS_INVALID)
            fail_msg("'%s' was taken", cases[i]);
}

/* The rules of a configuration that binds to bind and has up to two lines. */
static status_t make(const char *bind, const char *first, const char *second, rules_t *out_rules)
{
    char *items[] = {(char *)(uintptr_t)first, (char *)(uintptr_t)second};
    dimse_config_t config = {.bind = (char *)(uintptr_t)bind,
                             .aes = {items, (size_t)(first != NULL) + (second != NULL)}};
    return rules_create(&config, out_rules);
}

static void test_rules(void **state)
{
    (void)state;
    static const struct {
        const char *first, *second, *ae_title, *address;
        bool allowed;
    } cases[] = {
        {NULL, NULL, "ANY", "127.0.0.1", true},
        {NULL, NULL, "ANY", "::1", true},
        {NULL, NULL, "ANY", "192.0.2.7", false},
        {"CT1@192.0.2.0/24", NULL, "CT1", "192.0.2.7", true},
        {"CT1@192.0.2.0/24", NULL, "CT1", "198.51.100.7", false}, /* right title, wrong address */
        {"CT1@192.0.2.0/24", NULL, "CT2", "192.0.2.7", false},
        {"CT1@192.0.2.0/24", NULL, "ct1", "192.0.2.7", false}, /* titles are case-sensitive */
        {"CT1@192.0.2.0/24", NULL, "CT1", "127.0.0.1", false}, /* a rule closes loopback too */
        {"CT1@192.0.2.0/24", "*@198.51.100.7", "MR", "198.51.100.7", true},
        {"A@B@192.0.2.7", NULL, "A@B", "192.0.2.7", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rules_t rules;
        assert_int_equal(make("127.0.0.1", cases[i].first, cases[i].second, &rules), STATUS_OK);
        address_t one = address(cases[i].address);
        if (rules_allow(&rules, cases[i].ae_title, &one) != cases[i].allowed)
            fail_msg("row %zu", i);
        rules_destroy(&rules);
    }
}

static void test_open_only_on_loopback(void **state)
{
    (void)state;
    rules_t rules;
    assert_int_equal(make("0.0.0.0", NULL, NULL, &rules), STATUS_INVALID);
    assert_int_equal(make("::", NULL, NULL, &rules), STATUS_INVALID);
    assert_int_equal(make("nonsense", NULL, NULL, &rules), STATUS_INVALID);
    assert_int_equal(make("127.0.0.1", "CT1", NULL, &rules), STATUS_INVALID);
    assert_int_equal(make("127.0.0.1", "@192.0.2.7", NULL, &rules), STATUS_INVALID);
    assert_int_equal(make("127.0.0.1", "SEVENTEEN-LETTERS@192.0.2.7", NULL, &rules),
                     STATUS_INVALID);
    assert_int_equal(make("0.0.0.0", "CT1@192.0.2.7", NULL, &rules), STATUS_OK);
    rules_destroy(&rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_wrong_ranges),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_open_only_on_loopback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
