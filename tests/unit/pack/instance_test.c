#include "pack/instance.h"
#include "base/buffer.h"
#include "dicom/transfer_syntax.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

/* A head as dicom_file_write_head() makes it, its preamble filled with a byte. */
static void make_head(buffer_t *head, uint8_t preamble, dicom_file_t *out_file)
{
    dicom_file_write_head(head, "1.2.3", "1.2.3.4", DICOM_EXPLICIT_LITTLE, "AE");
    memset(head->data, preamble, 128);
    assert_int_equal(dicom_file_open(head->data, head->length, out_file), STATUS_OK);
}

static void test_file_meta_is_group_0002_alone(void **state)
{
    (void)state;
    AUTO_BUFFER head = {0};
    dicom_file_t file;
    make_head(&head, 0, &file);
    Pack__Provenance provenance = PACK__PROVENANCE__INIT;
    pack_provenance_take_head(&provenance, &file, head.data);
    assert_int_equal(provenance.preamble.len, 0);
    assert_int_equal(provenance.file_meta.len, head.length - 132);
    assert_memory_equal(provenance.file_meta.data, "\x02\x00\x00\x00UL", 6);
}

static void test_a_preamble_that_says_something_is_kept(void **state)
{
    (void)state;
    AUTO_BUFFER head = {0};
    dicom_file_t file;
    make_head(&head, 'M', &file);
    Pack__Provenance provenance = PACK__PROVENANCE__INIT;
    pack_provenance_take_head(&provenance, &file, head.data);
    assert_int_equal(provenance.preamble.len, 128);
    assert_int_equal(provenance.preamble.data[127], 'M');
    assert_int_equal(provenance.file_meta.len, head.length - 132);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_meta_is_group_0002_alone),
        cmocka_unit_test(test_a_preamble_that_says_something_is_kept),
    };
    return cmocka_run_group_tests_name("instance", tests, NULL, NULL);
}
