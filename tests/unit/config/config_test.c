#include "config/config.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

typedef struct {
    struct {
        char *data;
    } service;
    int64_t port;
    bool strict;
    config_list_t peers;
} example_t;

static const config_field_t fields[] = {
    CONFIG_TEXT(example_t, service.data, "/default", "ZPACS_TEST_DATA", "folder"),
    CONFIG_NUMBER(example_t, port, "11112", 1, 65535, "ZPACS_TEST_PORT", "port"),
    CONFIG_BOOL(example_t, strict, "true", "ZPACS_TEST_STRICT", "strict"),
    CONFIG_LIST(example_t, peers, "a, b", "ZPACS_TEST_PEERS", "peers"), CONFIG_END};

static status_t parse(const char *yaml, example_t *out_values)
{
    return config_parse(fields, "test.yaml", yaml, strlen(yaml), out_values);
}

static void defaults_stand_without_a_file(void **state)
{
    (void)state;
    example_t values = {0};
    assert_int_equal(config_load(fields, NULL, &values), STATUS_OK);
    assert_string_equal(values.service.data, "/default");
    assert_int_equal(values.port, 11112);
    assert_true(values.strict);
    assert_int_equal(values.peers.count, 2);
    assert_string_equal(values.peers.items[1], "b");
    config_destroy(fields, &values);
    assert_null(values.service.data);
    assert_null(values.peers.items);
}

static void file_overrides_defaults(void **state)
{
    (void)state;
    example_t values = {0};
    assert_int_equal(parse("# comment\ndata: /srv/x\nport: 104\nstrict: no\npeers:\n  - 'one'\n"
                           "  - two, three\n  - \"\"\n",
                           &values),
                     STATUS_OK);
    assert_string_equal(values.service.data, "/srv/x");
    assert_int_equal(values.port, 104);
    assert_false(values.strict);
    assert_int_equal(values.peers.count, 3);
    assert_string_equal(values.peers.items[1], "two, three");
    config_destroy(fields, &values);
}

static void environment_overrides_file(void **state)
{
    (void)state;
    example_t values = {0};
    setenv("ZPACS_TEST_PORT", "2762", 1);
    setenv("ZPACS_TEST_DATA", "", 1);
    setenv("ZPACS_TEST_PEERS", "x,, y ,z", 1);
    status_t status = parse("port: 104\npeers: [a]\ndata: /srv\n", &values);
    unsetenv("ZPACS_TEST_PORT");
    unsetenv("ZPACS_TEST_DATA");
    unsetenv("ZPACS_TEST_PEERS");
    assert_int_equal(status, STATUS_OK);
    assert_int_equal(values.port, 2762);
    assert_string_equal(values.service.data, "");
    assert_int_equal(values.peers.count, 3);
    assert_string_equal(values.peers.items[1], "y");
    config_destroy(fields, &values);
}

static void a_bad_variable_is_named(void **state)
{
    (void)state;
    example_t values = {0};
    setenv("ZPACS_TEST_PORT", "0", 1);
    status_t status = parse("port: 104\n", &values);
    unsetenv("ZPACS_TEST_PORT");
    assert_int_equal(status, STATUS_INVALID);
    assert_string_equal(fail_detail(), "environment variable ZPACS_TEST_PORT: key 'port' is 0, "
                                       "allowed are 1 to 65535");
}

static void an_empty_file_is_all_defaults(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "# nothing\n", "---\n", "---\n...\n", "{}\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        example_t values = {0};
        assert_int_equal(parse(texts[i], &values), STATUS_OK);
        assert_int_equal(values.port, 11112);
        config_destroy(fields, &values);
    }
}

static void refuses_with_key_and_line(void **state)
{
    (void)state;
    static const struct {
        const char *name, *yaml, *detail;
    } cases[] = {
        {"unknown key", "port: 1\n\nprot: 2\n", "test.yaml:3: unknown key 'prot'"},
        {"dotted key", "service.data: /x\n", "test.yaml:1: unknown key 'service.data'"},
        {"twice", "port: 1\ndata: x\nport: 1\n",
         "test.yaml:3: key 'port' was given before in line 1"},
        {"not a number", "data: x\nport: 12x\n",
         "test.yaml:2: key 'port' takes a whole number, not '12x'"},
        {"fraction", "port: 1.5\n", "test.yaml:1: key 'port' takes a whole number, not '1.5'"},
        {"empty number", "port:\n", "test.yaml:1: key 'port' takes a whole number, not ''"},
        {"too high", "port: 65536\n", "test.yaml:1: key 'port' is 65536, allowed are 1 to 65535"},
        {"beyond 64 bits", "port: 99999999999999999999\n",
         "test.yaml:1: key 'port' takes a whole number, not '99999999999999999999'"},
        {"not a truth", "strict: maybe\n",
         "test.yaml:1: key 'strict' takes true or false, not 'maybe'"},
        {"list for one", "data: [a, b]\n", "test.yaml:1: key 'data' takes one value, not a list"},
        {"nested mapping", "data:\n  x: y\n", "test.yaml:2: a mapping is not allowed here"},
        {"nested list", "peers: [[a]]\n", "test.yaml:1: a list is not allowed here"},
        {"list document", "- a\n", "test.yaml:1: a list is not allowed here"},
        {"alias", "data: *x\n", "test.yaml:1: aliases are not supported"},
        {"anchor", "data: &x y\n", "test.yaml:1: anchors and tags are not supported"},
        {"tag", "data: !!int 5\n", "test.yaml:1: anchors and tags are not supported"},
        {"second document", "port: 1\n---\nport: 2\n",
         "test.yaml:3: a mapping is not allowed here"},
        {"prose", "hello\n", "test.yaml:1: 'key: value' lines expected"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        example_t values = {.port = -7};
        if (parse(cases[i].yaml, &values) != STATUS_INVALID)
            fail_msg("%s: accepted", cases[i].name);
        if (strcmp(fail_detail(), cases[i].detail) != 0)
            fail_msg("%s: '%s'", cases[i].name, fail_detail());
        assert_int_equal(values.port, -7);
        assert_null(values.service.data);
    }
}

static void broken_yaml_names_the_line(void **state)
{
    (void)state;
    example_t values = {0};
    assert_int_equal(parse("port: 1\ndata: 'open\n", &values), STATUS_INVALID);
    assert_memory_equal(fail_detail(), "test.yaml:", 10);
    assert_int_equal(parse("data: a\n\tport: 1\n", &values), STATUS_INVALID);
    assert_int_equal(config_parse(fields, "test.yaml", "data: \"a\\0b\"\n", 13, &values),
                     STATUS_INVALID);
}

static void loads_a_file(void **state)
{
    (void)state;
    char path[] = "/tmp/zpacs-config-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "port: 5\n", 8), 8);
    close(fd);
    example_t values = {0};
    assert_int_equal(config_load(fields, path, &values), STATUS_OK);
    assert_int_equal(values.port, 5);
    config_destroy(fields, &values);
    unlink(path);
    assert_int_equal(config_load(fields, path, &values), STATUS_NOT_FOUND);
    assert_int_equal(config_load(fields, "/", &values), STATUS_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_stand_without_a_file),
        cmocka_unit_test(file_overrides_defaults),
        cmocka_unit_test(environment_overrides_file),
        cmocka_unit_test(a_bad_variable_is_named),
        cmocka_unit_test(an_empty_file_is_all_defaults),
        cmocka_unit_test(refuses_with_key_and_line),
        cmocka_unit_test(broken_yaml_names_the_line),
        cmocka_unit_test(loads_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
