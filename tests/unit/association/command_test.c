/* DIMSE command sets: what is read, what is refused, and the bytes of an answer. PS3.7 6.3, 9.3, E.1 */
#include "association/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LENGTH(text) (sizeof(text) - 1)

/* (0000,0002) 1.2, (0000,0100) 1, (0000,0110) 7, (0000,0800) 0, (0000,1000) 1.2.3 */
#define CLASS                                                                                      \
    "\0\0\2\0\4\0\0\0"                                                                             \
    "1.2\0"
#define FIELD                                                                                      \
    "\0\0\0\1\2\0\0\0"                                                                             \
    "\1\0"
#define MESSAGE                                                                                    \
    "\0\0\x10\1\2\0\0\0"                                                                           \
    "\7\0"
#define DATASET                                                                                    \
    "\0\0\0\x8\2\0\0\0"                                                                            \
    "\0\0"
#define INSTANCE                                                                                   \
    "\0\0\0\x10\6\0\0\0"                                                                           \
    "1.2.3\0"

static const struct {
    const char *name;
    const char *bytes;
    size_t length;
    status_t status;
    bool malformed_uid;
} cases[] = {
    {"a C-STORE-RQ", CLASS FIELD MESSAGE DATASET INSTANCE,
     LENGTH(CLASS FIELD MESSAGE DATASET INSTANCE), STATUS_OK, false},
    {"without UIDs", FIELD MESSAGE DATASET, LENGTH(FIELD MESSAGE DATASET), STATUS_OK, false},
    {"a UID that is a path",
     "\0\0\2\0\4\0\0\0"
     "../x" FIELD MESSAGE DATASET,
     LENGTH("\0\0\2\0\4\0\0\0"
            "../x" FIELD MESSAGE DATASET),
     STATUS_OK, true},
    {"a UID with letters",
     "\0\0\2\0\4\0\0\0"
     "ab.1" FIELD MESSAGE DATASET,
     LENGTH("\0\0\2\0\4\0\0\0"
            "ab.1" FIELD MESSAGE DATASET),
     STATUS_OK, false},
    {"an element nobody knows",
     FIELD MESSAGE DATASET "\0\0\x99\x99\2\0\0\0"
                           "ab",
     LENGTH(FIELD MESSAGE DATASET "\0\0\x99\x99\2\0\0\0"
                                  "ab"),
     STATUS_OK, false},
    {"no command field", MESSAGE DATASET, LENGTH(MESSAGE DATASET), STATUS_INVALID, false},
    {"no message id", FIELD DATASET, LENGTH(FIELD DATASET), STATUS_INVALID, false},
    {"no dataset type", FIELD MESSAGE, LENGTH(FIELD MESSAGE), STATUS_INVALID, false},
    {"an element twice", FIELD MESSAGE DATASET FIELD, LENGTH(FIELD MESSAGE DATASET FIELD),
     STATUS_INVALID, false},
    {"another group",
     FIELD MESSAGE DATASET "\x8\0\x18\0\2\0\0\0"
                           "1\0",
     LENGTH(FIELD MESSAGE DATASET "\x8\0\x18\0\2\0\0\0"
                                  "1\0"),
     STATUS_INVALID, false},
    {"a length beyond the end",
     FIELD MESSAGE DATASET "\0\0\0\x10\xff\xff\xff\xff"
                           "1",
     LENGTH(FIELD MESSAGE DATASET "\0\0\0\x10\xff\xff\xff\xff"
                                  "1"),
     STATUS_INVALID, false},
    {"half an element", FIELD MESSAGE DATASET "\0\0\0", LENGTH(FIELD MESSAGE DATASET "\0\0\0"),
     STATUS_INVALID, false},
    {"a number of one byte",
     "\0\0\0\1\1\0\0\0"
     "\1",
     LENGTH("\0\0\0\1\1\0\0\0"
            "\1"),
     STATUS_INVALID, false},
    {"nothing", "", 0, STATUS_INVALID, false},
};

static void test_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        command_t command = {0};
        status_t status = command_parse((const uint8_t *)cases[i].bytes, cases[i].length, &command);
        if (status != cases[i].status || command.malformed_uid != cases[i].malformed_uid)
            fail_msg("%s: %s", cases[i].name, status_name(status));
    }
}

static void test_parse_values(void **state)
{
    (void)state;
    static const char bytes[] = CLASS FIELD MESSAGE DATASET INSTANCE;
    command_t command = {0};
    assert_int_equal(command_parse((const uint8_t *)bytes, LENGTH(bytes), &command), STATUS_OK);
    assert_int_equal(command.field, COMMAND_C_STORE_RQ);
    assert_int_equal(command.message_id, 7);
    assert_int_equal(command.dataset_type, 0);
    assert_string_equal(command.affected_sop_class_uid, "1.2");
    assert_string_equal(command.affected_sop_instance_uid, "1.2.3");
}

static void test_too_large(void **state)
{
    (void)state;
    AUTO_BUFFER bytes = {0};
    buffer_reserve(&bytes, COMMAND_SET_MAX + 1);
    memset(bytes.data, 0, COMMAND_SET_MAX + 1);
    command_t command;
    assert_int_equal(command_parse(bytes.data, COMMAND_SET_MAX + 1, &command), STATUS_TOO_LARGE);
}

static void test_response_bytes(void **state)
{
    (void)state;
    command_t request = {.field = COMMAND_C_STORE_RQ,
                         .message_id = 0x0102,
                         .affected_sop_class_uid = "1.2",
                         .affected_sop_instance_uid = "1.2.34"};
    command_response_t response = {.request = &request,
                                   .status = 0xA900,
                                   .offending_element = 0x00080018,
                                   .error_comment = "odd"};
    static const char wanted[] = "\0\0\0\0\4\0\0\0\x5a\0\0\0" /* group length */
                                 "\0\0\2\0\4\0\0\0"
                                 "1.2\0"
                                 "\0\0\0\1\2\0\0\0"
                                 "\1\x80"
                                 "\0\0\x20\1\2\0\0\0"
                                 "\2\1"
                                 "\0\0\0\x8\2\0\0\0"
                                 "\1\1"
                                 "\0\0\0\x9\2\0\0\0"
                                 "\0\xa9"
                                 "\0\0\1\x9\4\0\0\0"
                                 "\x8\0\x18\0"
                                 "\0\0\2\x9\4\0\0\0"
                                 "odd "
                                 "\0\0\0\x10\6\0\0\0"
                                 "1.2.34";
    AUTO_BUFFER bytes = {0};
    command_write_response(&bytes, &response);
    assert_int_equal(bytes.length, LENGTH(wanted));
    assert_memory_equal(bytes.data, wanted, LENGTH(wanted));
    assert_int_equal(bytes.data[8], bytes.length - 12);
}

static void test_long_comment_is_cut(void **state)
{
    (void)state;
    command_t request = {.field = COMMAND_C_ECHO_RQ};
    char comment[200];
    memset(comment, 'x', sizeof comment - 1);
    comment[sizeof comment - 1] = 0;
    command_response_t with = {.request = &request, .error_comment = comment};
    command_response_t without = {.request = &request};
    AUTO_BUFFER a = {0}, b = {0};
    command_write_response(&a, &with);
    command_write_response(&b, &without);
    assert_int_equal(a.length, b.length + 8 + COMMAND_ERROR_COMMENT_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_parse_values),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_response_bytes),
        cmocka_unit_test(test_long_comment_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
