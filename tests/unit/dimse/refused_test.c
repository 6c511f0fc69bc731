/* The table of refusals: what makes a row, who makes room, what the last hour is, what is escaped. */
#include "dimse/door/refused.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MINUTE_US INT64_C(60000000)
#define NOW_US    (INT64_C(30000000) * MINUTE_US) /* 2027-01-15T08:00:00 */

static const refused_entry_t one = {"192.0.2.1", "CT1", "ZPACS", "calling_ae", "no rule"};

static char *json_of(refused_t *refused, int64_t now_us)
{
    AUTO_BUFFER out = {0};
    refused_append_json(refused, now_us, &out);
    return memory_copy_text(buffer_text(&out));
}

static size_t count_of(const char *text, const char *word)
{
    size_t count = 0;
    for (const char *at = strstr(text, word); at; at = strstr(at + 1, word))
        count++;
    return count;
}

static void test_rows(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        refused_entry_t entry;
        size_t rows; /* beside the one of `one` */
    } cases[] = {
        {"the same", {"192.0.2.1", "CT1", "ZPACS", "calling_ae", "no rule"}, 0},
        {"another detail", {"192.0.2.1", "CT1", "ZPACS", "calling_ae", "still none"}, 0},
        {"another peer", {"192.0.2.2", "CT1", "ZPACS", "calling_ae", "no rule"}, 1},
        {"another calling", {"192.0.2.1", "CT2", "ZPACS", "calling_ae", "no rule"}, 1},
        {"another called", {"192.0.2.1", "CT1", "OTHER", "calling_ae", "no rule"}, 1},
        {"another reason", {"192.0.2.1", "CT1", "ZPACS", "request", "no rule"}, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        refused_t *refused = refused_create();
        refused_add(refused, &one, NOW_US);
        refused_add(refused, &cases[i].entry, NOW_US + 1500000);
        AUTO_FREE char *json = json_of(refused, NOW_US + 2000000);
        if (count_of(json, "\"peer\":") != 1 + cases[i].rows)
            fail_msg("%s: %s", cases[i].name, json);
        refused_destroy(&refused);
        assert_null(refused);
    }
}

static void test_json(void **state)
{
    (void)state;
    refused_t *refused = refused_create();
    AUTO_FREE char *nothing = json_of(refused, NOW_US);
    assert_string_equal(nothing, "{\"last_hour\":0,\"dropped\":0,\"refused\":[]}\n");
    refused_entry_t second = one;
    second.detail = "none";
    refused_add(refused, &one, NOW_US);
    refused_add(refused, &second, NOW_US + 1500000);
    AUTO_FREE char *json = json_of(refused, NOW_US);
    assert_string_equal(json, "{\"last_hour\":2,\"dropped\":0,\"refused\":[{\"peer\":\"192.0.2.1\","
                              "\"calling\":\"CT1\",\"called\":\"ZPACS\",\"reason\":\"calling_ae\","
                              "\"detail\":\"none\",\"count\":2,"
                              "\"first\":\"2027-01-15T08:00:00.000000Z\","
                              "\"last\":\"2027-01-15T08:00:01.500000Z\"}]}\n");
    refused_destroy(&refused);
}

static void test_text_is_cut_and_escaped(void **state)
{
    (void)state;
    refused_t *refused = refused_create();
    char detail[1000];
    memset(detail, 'd', sizeof detail - 1);
    detail[sizeof detail - 1] = 0;
    const refused_entry_t entry = {"192.0.2.1", "\x1b[2J\"},{\\\xff", "0123456789ABCDEFGHIJ",
                                   "request", detail};
    refused_add(refused, &entry, NOW_US);
    refused_add(refused, &entry, NOW_US); /* cut text is still the same row */
    AUTO_FREE char *json = json_of(refused, NOW_US);
    assert_non_null(strstr(json, "\"calling\":\"\\u001b[2J\\\"},{\\\\\xEF\xBF\xBD\","));
    assert_non_null(strstr(json, "\"called\":\"0123456789ABCDEF\","));
    AUTO_FREE char *cut = memory_format("\"detail\":\"%.159s\",", detail);
    assert_non_null(strstr(json, cut));
    assert_non_null(strstr(json, "\"count\":2,"));
    assert_true(strlen(json) < 600);
    refused_destroy(&refused);
}

static void add_numbered(refused_t *refused, int number, int64_t now_us)
{
    char peer[32];
    snprintf(peer, sizeof peer, "10.0.%d.%d", number / 256, number % 256);
    refused_entry_t entry = one;
    entry.peer = peer;
    refused_add(refused, &entry, now_us);
}

static void test_least_recently_seen_makes_room(void **state)
{
    (void)state;
    refused_t *refused = refused_create();
    for (int i = 0; i < REFUSED_ROWS_MAX; i++)
        add_numbered(refused, i,
                     NOW_US - i); /* the clock goes backwards: the order is what counts */
    add_numbered(refused, 0, NOW_US);
    for (int i = 0; i < 3; i++)
        add_numbered(refused, REFUSED_ROWS_MAX + i, NOW_US);
    AUTO_FREE char *json = json_of(refused, NOW_US);
    assert_int_equal(count_of(json, "\"peer\":"), REFUSED_ROWS_MAX);
    assert_non_null(strstr(json, "\"dropped\":3,\"refused\":[{\"peer\":\"10.0.1.2\""));
    assert_non_null(strstr(json, "\"10.0.0.0\"")); /* seen again */
    assert_null(strstr(json, "\"10.0.0.1\""));
    assert_null(strstr(json, "\"10.0.0.2\""));
    assert_null(strstr(json, "\"10.0.0.3\""));
    assert_non_null(strstr(json, "\"10.0.0.4\""));
    assert_non_null(strstr(json, "{\"last_hour\":260,")); /* also those whose row is gone */
    refused_destroy(&refused);
}

static void test_last_hour(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int minutes[3]; /* of the refusals, before now */
        const char *begin;
    } cases[] = {
        {"now", {0, 0, 0}, "{\"last_hour\":3,"},
        {"59 minutes ago", {59, 59, 1}, "{\"last_hour\":3,"},
        {"60 minutes ago", {60, 60, 1}, "{\"last_hour\":1,"},
        {"the same place of the ring", {120, 60, 0}, "{\"last_hour\":1,"},
        {"long ago", {1000, 999, 998}, "{\"last_hour\":0,"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        refused_t *refused = refused_create();
        for (size_t k = 0; k < 3; k++)
            refused_add(refused, &one, NOW_US - cases[i].minutes[k] * MINUTE_US);
        AUTO_FREE char *json = json_of(refused, NOW_US);
        if (strncmp(json, cases[i].begin, strlen(cases[i].begin)) != 0)
            fail_msg("%s: %s", cases[i].name, json);
        refused_destroy(&refused);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_text_is_cut_and_escaped),
        cmocka_unit_test(test_least_recently_seen_makes_room),
        cmocka_unit_test(test_last_hour),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
