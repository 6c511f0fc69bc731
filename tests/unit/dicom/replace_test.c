#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#undef fail

#include "dicom/reader.h"
#include "dicom/replace.h"

#include <string.h>

#define SOP DICOM_TAG(0x0008, 0x0018)

/* Each with SOP Class UID, SOP Instance UID 1.2 and Patient ID; or something wrong. */
#define BYTES(text)                                                                                \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }

typedef struct {
    const uint8_t *bytes;
    size_t length;
} bytes_t;

static const struct {
    const char *name, *syntax;
    bytes_t dataset, element;
    size_t offset, old_length;
    status_t status;
} cases[] = {
    {"explicit", DICOM_EXPLICIT_LITTLE,
     BYTES("\x08\0\x16\0UI\x04\0"
           "1.9\0"
           "\x08\0\x18\0UI\x04\0"
           "1.2\0"
           "\x10\0\x20\0LO\x02\0P1"),
     BYTES("\x08\0\x18\0UI\x08\0"
           "2.25.77\0"),
     12, 12, STATUS_OK},
    {"implicit", DICOM_IMPLICIT_LITTLE,
     BYTES("\x08\0\x16\0\x04\0\0\0"
           "1.9\0"
           "\x08\0\x18\0\x04\0\0\0"
           "1.2\0"),
     BYTES("\x08\0\x18\0\x08\0\0\0"
           "2.25.77\0"),
     12, 12, STATUS_OK},
    {"big endian", DICOM_EXPLICIT_BIG,
     BYTES("\0\x08\0\x16UI\0\x04"
           "1.9\0"
           "\0\x08\0\x18UI\0\x04"
           "1.2\0"),
     BYTES("\0\x08\0\x18UI\0\x08"
           "2.25.77\0"),
     12, 12, STATUS_OK},
    {"sent as UN", DICOM_EXPLICIT_LITTLE,
     BYTES("\x08\0\x18\0UN\0\0\x04\0\0\0"
           "1.2\0"
           "\x10\0\x20\0LO\x02\0P1"),
     BYTES("\x08\0\x18\0UI\x08\0"
           "2.25.77\0"),
     0, 16, STATUS_OK},
    {"none",
     DICOM_EXPLICIT_LITTLE,
     BYTES("\x08\0\x16\0UI\x04\0"
           "1.9\0"
           "\x10\0\x20\0LO\x02\0P1"),
     {NULL, 0},
     0,
     0,
     STATUS_INVALID},
    {"cut",
     DICOM_EXPLICIT_LITTLE,
     BYTES("\x08\0\x18\0UI\x04\0"
           "1."),
     {NULL, 0},
     0,
     0,
     STATUS_INVALID},
    {"in a sequence only",
     DICOM_EXPLICIT_LITTLE,
     BYTES("\x08\0\x06\0SQ\0\0\xFF\xFF\xFF\xFF"
           "\xFE\xFF\0\xE0\xFF\xFF\xFF\xFF"
           "\x08\0\x18\0UI\x04\0"
           "1.2\0"
           "\xFE\xFF\x0D\xE0\0\0\0\0"
           "\xFE\xFF\xDD\xE0\0\0\0\0"),
     {NULL, 0},
     0,
     0,
     STATUS_INVALID},
    {"deflated", DICOM_DEFLATED_LITTLE, BYTES("\x03\0"), {NULL, 0}, 0, 0, STATUS_UNSUPPORTED},
};

static void test_replace(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dicom_replaced_t replaced;
        status_t status = dicom_replace_uid(cases[i].dataset.bytes, cases[i].dataset.length,
                                            cases[i].syntax, SOP, "2.25.77", &replaced);
        if (status != cases[i].status)
            print_error("%s: %s\n", cases[i].name, status_name(status));
        assert_int_equal(status, cases[i].status);
        if (status != STATUS_OK)
            continue;
        assert_int_equal(replaced.offset, cases[i].offset);
        assert_int_equal(replaced.old_length, cases[i].old_length);
        assert_int_equal(replaced.length, cases[i].element.length);
        assert_memory_equal(replaced.bytes, cases[i].element.bytes, replaced.length);
    }
}

static void test_longest_uid_fits(void **state)
{
    (void)state;
    dicom_replaced_t replaced;
    char uid[UID_LENGTH_MAX + 1];
    memset(uid, '1', sizeof uid - 1);
    uid[1] = '.';
    uid[UID_LENGTH_MAX] = 0;
    assert_int_equal(dicom_replace_uid(cases[0].dataset.bytes, cases[0].dataset.length,
                                       cases[0].syntax, SOP, uid, &replaced),
                     STATUS_OK);
    assert_int_equal(replaced.length, 8 + UID_LENGTH_MAX);
    assert_int_equal(dicom_replace_uid(cases[0].dataset.bytes, cases[0].dataset.length,
                                       cases[0].syntax, SOP, "no uid", &replaced),
                     STATUS_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_replace),
                                       cmocka_unit_test(test_longest_uid_fits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
