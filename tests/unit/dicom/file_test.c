#include "dicom/file.h"

#include "dataset.h"
#include "dicom/instance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <zlib.h>
#include <cmocka.h>

#define E EXPLICIT_LITTLE

/* A minimal dataset with the four UIDs. */
static void put_instance(buffer_t *out, encoding_t encoding)
{
    put_text(out, encoding, 0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.7.");
    put_text(out, encoding, 0x00080018, "UI", "1.2.3");
    put_text(out, encoding, 0x0020000D, "UI", "1.2.3.4");
    put_text(out, encoding, 0x0020000E, "UI", "1.2.3.4.5");
}

static void put_deflated(buffer_t *out, const uint8_t *bytes, size_t length, int window_bits)
{
    z_stream stream = {0};
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY),
                     Z_OK);
    size_t bound = deflateBound(&stream, length);
    buffer_reserve(out, bound);
    stream.next_in = (Bytef *)(uintptr_t)bytes;
    stream.avail_in = (uInt)length;
    stream.next_out = out->data + out->length;
    stream.avail_out = (uInt)bound;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    out->length += bound - stream.avail_out;
    deflateEnd(&stream);
}

static void test_written_head_is_read_again(void **state)
{
    (void)state;
    static const struct {
        const char *sop_class, *instance, *syntax, *aet;
    } cases[] = {
        {"1.2.840.10008.5.1.4.1.1.2", "1.2.3.45", DICOM_EXPLICIT_LITTLE, "MODALITY1"},
        {"1.2.840.10008.5.1.4.1.1.2", "1.2.3.456", DICOM_DEFLATED_LITTLE, NULL},
        {"1.2", "1.3", "1.2.840.10008.1.2.4.50", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_BUFFER bytes = {0};
        dicom_file_write_head(&bytes, cases[i].sop_class, cases[i].instance, cases[i].syntax,
                              cases[i].aet);
        size_t head = bytes.length;
        assert_int_equal(head % 2, 0);
        buffer_append(&bytes, "\x02\x00 deflated data may begin with anything", 40);
        dicom_file_t file;
        assert_int_equal(dicom_file_open(bytes.data, bytes.length, &file), STATUS_OK);
        assert_int_equal(file.dataset_offset, head);
        assert_string_equal(file.transfer_syntax_uid, cases[i].syntax);
        assert_string_equal(file.media_storage_sop_class_uid, cases[i].sop_class);
        assert_string_equal(file.media_storage_sop_instance_uid, cases[i].instance);
        assert_true(file.has_preamble && file.has_meta);
    }
}

typedef enum { WHOLE, NO_PREAMBLE, NO_PREAMBLE_NO_PREFIX, NO_META, BARE } form_t;

static void test_files_with_missing_parts(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        form_t form;
        encoding_t encoding;
        bool has_preamble, has_meta;
    } cases[] = {
        {"whole", WHOLE, E, true, true},
        {"no preamble", NO_PREAMBLE, E, false, true},
        {"meta at byte 0", NO_PREAMBLE_NO_PREFIX, E, false, true},
        {"no meta, implicit", NO_META, IMPLICIT_LITTLE, true, false},
        {"no meta, explicit", NO_META, E, true, false},
        {"bare implicit", BARE, IMPLICIT_LITTLE, false, false},
        {"bare explicit", BARE, E, false, false},
        {"bare big endian", BARE, EXPLICIT_BIG, false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_BUFFER head = {0};
        AUTO_BUFFER bytes = {0};
        dicom_file_write_head(&head, "1.2", "1.3", syntax_of(cases[i].encoding), NULL);
        size_t from[] = {0, 128, 132, 0, 0};
        size_t to[] = {head.length, head.length, head.length, 132, 0};
        buffer_append(&bytes, head.data + from[cases[i].form],
                      to[cases[i].form] - from[cases[i].form]);
        size_t offset = bytes.length;
        put_instance(&bytes, cases[i].encoding);
        dicom_file_t file;
        if (dicom_file_open(bytes.data, bytes.length, &file) != STATUS_OK)
            fail_msg("%s: %s", cases[i].name, fail_detail());
        assert_int_equal(file.dataset_offset, offset);
        assert_string_equal(file.transfer_syntax_uid, syntax_of(cases[i].encoding));
        assert_int_equal(file.has_preamble, cases[i].has_preamble);
        assert_int_equal(file.has_meta, cases[i].has_meta);
    }
}

/* A transfer syntax that is no UID is not believed, nor is it passed on: the bytes tell. */
static void test_a_syntax_that_is_no_uid(void **state)
{
    (void)state;
    static const char *const syntaxes[] = {"1.2\r\nSet-Cookie: a=b", "1.2.840\xFF", "..", "1 2"};
    for (size_t i = 0; i < sizeof syntaxes / sizeof *syntaxes; i++) {
        AUTO_BUFFER bytes = {0};
        dicom_file_t file;
        dicom_file_write_head(&bytes, "1.2\n3", "1.3", syntaxes[i], NULL);
        put_instance(&bytes, E);
        assert_int_equal(dicom_file_open(bytes.data, bytes.length, &file), STATUS_OK);
        assert_string_equal(file.transfer_syntax_uid, DICOM_EXPLICIT_LITTLE);
        assert_string_equal(file.media_storage_sop_class_uid, "");
        assert_string_equal(file.media_storage_sop_instance_uid, "1.3");
    }
}

static void test_wrong_group_length_is_ignored(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {0, 5, 0xFFFFFFFF, 1000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        AUTO_BUFFER bytes = {0};
        dicom_file_write_head(&bytes, "1.2", "1.3", DICOM_EXPLICIT_LITTLE, NULL);
        size_t offset = bytes.length;
        put_instance(&bytes, E);
        if (i) /* 0 is taken at its word only where an element ends: behind itself */
            memcpy(bytes.data + 140, &lengths[i], 4);
        dicom_file_t file;
        assert_int_equal(dicom_file_open(bytes.data, bytes.length, &file), STATUS_OK);
        assert_int_equal(file.dataset_offset, offset);
    }
}

static void test_refused_files(void **state)
{
    (void)state;
    AUTO_BUFFER large = {0};
    dicom_file_write_head(&large, "1.2", "1.3", DICOM_EXPLICIT_LITTLE, NULL);
    put_header(&large, E, 0x00020102, "OB", DICOM_FILE_META_MAX);
    memset(large.data + 140, 0xFF, 4); /* the group length */
    while (large.length < DICOM_FILE_HEAD_MAX)
        buffer_append_byte(&large, 0);
    AUTO_BUFFER cut = {0};
    dicom_file_write_head(&cut, "1.2", "1.3", DICOM_EXPLICIT_LITTLE, NULL);
    const struct {
        const char *name;
        const void *bytes;
        size_t length;
        status_t status;
    } cases[] = {
        {"empty", "", 0, STATUS_INVALID},
        {"text", "This is no DICOM file at all, but a letter.", 43, STATUS_INVALID},
        {"zeros", (const char[200]){0}, 200, STATUS_INVALID},
        {"PNG", "\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16, STATUS_INVALID},
        {"meta too large", large.data, large.length, STATUS_TOO_LARGE},
        {"ends inside the meta", cut.data, cut.length - 5, STATUS_INVALID},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dicom_file_t file;
        status_t status = dicom_file_open(cases[i].bytes, cases[i].length, &file);
        if (status != cases[i].status)
            fail_msg("%s: %s", cases[i].name, status_name(status));
    }
}

static void test_inflate(void **state)
{
    (void)state;
    AUTO_BUFFER zeros = {0};
    buffer_reserve(&zeros, 1 << 20);
    zeros.length = 1 << 20;
    memset(zeros.data, 0, zeros.length);
    AUTO_BUFFER raw = {0};
    AUTO_BUFFER wrapped = {0};
    put_deflated(&raw, zeros.data, zeros.length, -15);
    put_deflated(&wrapped, zeros.data, zeros.length, 15);
    const struct {
        const char *name;
        const buffer_t *bytes;
        size_t take_off, limit;
        unsigned ratio;
        status_t status;
    } cases[] = {
        {"raw", &raw, 0, 1 << 20, 2000, STATUS_OK},
        {"with zlib's header", &wrapped, 0, 1 << 20, 2000, STATUS_OK},
        {"over the limit", &raw, 0, (1 << 20) - 1, 2000, STATUS_TOO_LARGE},
        {"over the ratio", &raw, 0, 1 << 30, 200, STATUS_TOO_LARGE},
        {"cut", &raw, 5, 1 << 20, 2000, STATUS_INVALID},
        {"no deflate stream", &zeros, 0, 1 << 20, 2000, STATUS_INVALID},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_BUFFER out = {0};
        buffer_append(&out, "before", 6);
        status_t status =
            dicom_inflate(cases[i].bytes->data, cases[i].bytes->length - cases[i].take_off,
                          cases[i].limit, cases[i].ratio, &out);
        if (status != cases[i].status)
            fail_msg("%s: %s", cases[i].name, status_name(status));
        assert_int_equal(out.length, status == STATUS_OK ? 6 + (1 << 20) : 6);
    }
}

typedef struct {
    const char *name;
    const char *uids[4];       /* SOP Class, SOP Instance, Study, Series; NULL: left out */
    size_t pixels, pixels_cut; /* bytes of pixel data, and how many of them are missing */
    size_t cut;                /* bytes missing when there are no pixels */
    status_t status;
} scan_case_t;

static void test_scan(void **state)
{
    (void)state;
    static const char long_uid[] =
        "1.2345678901234567890123456789012345678901234567890123456789012345";
    static const scan_case_t cases[] = {
        {"good", {"1.2", "1.3", "1.4", "1.5"}, 8, 0, 0, STATUS_OK},
        {"no pixels", {"1.2", "1.3", "1.4", "1.5"}, 0, 0, 0, STATUS_OK},
        {"hash as UID", {"1.2", "dccc9599087131742838cc", "1.4", "1.5"}, 8, 0, 0, STATUS_OK},
        {"no SOP Class", {NULL, "1.3", "1.4", "1.5"}, 8, 0, 0, STATUS_INVALID},
        {"no SOP Instance", {"1.2", NULL, "1.4", "1.5"}, 8, 0, 0, STATUS_INVALID},
        {"no Study", {"1.2", "1.3", NULL, "1.5"}, 8, 0, 0, STATUS_INVALID},
        {"no Series", {"1.2", "1.3", "1.4", NULL}, 8, 0, 0, STATUS_INVALID},
        {"empty Study", {"1.2", "1.3", "", "1.5"}, 8, 0, 0, STATUS_INVALID},
        {"two UIDs", {"1.2", "1.3\\1.4", "1.4", "1.5"}, 8, 0, 0, STATUS_INVALID},
        {"path as UID", {"1.2", "../1", "1.4", "1.5"}, 8, 0, 0, STATUS_INVALID},
        {"UID too long", {"1.2", "1.3", long_uid, "1.5"}, 8, 0, 0, STATUS_INVALID},
        {"pixels cut", {"1.2", "1.3", "1.4", "1.5"}, 8, 4, 0, STATUS_OK},
        {"cut before", {"1.2", "1.3", "1.4", "1.5"}, 0, 0, 2, STATUS_INVALID},
    };
    static const uint32_t tags[] = {0x00080016, 0x00080018, 0x0020000D, 0x0020000E};
    for (encoding_t encoding = IMPLICIT_LITTLE; encoding <= EXPLICIT_BIG; encoding++) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            const scan_case_t *row = &cases[i];
            AUTO_BUFFER bytes = {0};
            for (int k = 0; k < 4; k++)
                if (row->uids[k])
                    put_text(&bytes, encoding, tags[k], "UI", row->uids[k]);
            put_text(&bytes, encoding, 0x00204000, "LT", "the last before the pixels");
            size_t pixel_data = bytes.length;
            if (row->pixels)
                put_bytes(&bytes, encoding, 0x7FE00010, "OW", "12345678", row->pixels);
            size_t value = bytes.length - row->pixels;
            bytes.length -= row->pixels_cut + row->cut;
            dicom_instance_t instance;
            status_t status =
                dicom_instance_scan(bytes.data, bytes.length, syntax_of(encoding), &instance);
            if (status != row->status)
                fail_msg("%s: %s %s", row->name, status_name(status), fail_detail());
            if (status != STATUS_OK)
                continue;
            assert_string_equal(instance.sop_instance_uid, row->uids[1]);
            assert_string_equal(instance.series_instance_uid, row->uids[3]);
            assert_int_equal(instance.truncated, row->pixels_cut != 0);
            assert_int_equal(instance.pixel_data_offset, row->pixels ? pixel_data : 0);
            assert_int_equal(instance.pixel_value_offset, row->pixels ? value : 0);
            assert_int_equal(instance.pixel_value_length, row->pixels - row->pixels_cut);
        }
    }
}

static void test_scan_inflates(void **state)
{
    (void)state;
    AUTO_BUFFER bytes = {0};
    put_instance(&bytes, E);
    AUTO_BUFFER deflated = {0};
    put_deflated(&deflated, bytes.data, bytes.length, -15);
    dicom_instance_t instance;
    assert_int_equal(
        dicom_instance_scan(deflated.data, deflated.length, DICOM_DEFLATED_LITTLE, &instance),
        STATUS_OK);
    assert_string_equal(instance.study_instance_uid, "1.2.3.4");

    size_t size = 4 << 20; /* of zeros: more than 200 times the deflated length */
    put_header(&bytes, E, 0x7FE00010, "OB", (uint32_t)size);
    buffer_reserve(&bytes, size);
    memset(bytes.data + bytes.length, 0, size);
    bytes.length += size;
    buffer_clear(&deflated);
    put_deflated(&deflated, bytes.data, bytes.length, -15);
    assert_int_equal(
        dicom_instance_scan(deflated.data, deflated.length, DICOM_DEFLATED_LITTLE, &instance),
        STATUS_TOO_LARGE);
}

static void test_what_a_preamble_makes_of_a_file(void **state)
{
    (void)state;
    static const struct {
        const char *head, *kind;
    } cases[] = {
        {"MZ\x90", "a Windows program"},
        {"\x7F"
         "ELF\x02",
         "a Linux program"},
        {"\xCF\xFA\xED\xFE", "a macOS program"},
        {"\xFE\xED\xFA\xCE", "a macOS program"},
        {"\xCA\xFE\xBA\xBE", "a macOS or Java program"},
        {"#!/bin/sh", "a script"},
        {"PK\x03\x04", "a ZIP archive"},
        {"<ScRiPt>", "a page"},
        {"<html>", "a page"},
        {"<!DOCTYPE html>", "a page"},
        {"", NULL},
        {"II*", NULL}, /* TIFF */
        {"MM", NULL},
        {"mz", NULL},
        {"M", NULL},
        {" #!", NULL},
        {"<scr", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_BUFFER bytes = {0};
        dicom_file_t file;
        dicom_file_write_head(&bytes, "1.2", "1.3", DICOM_EXPLICIT_LITTLE, NULL);
        memcpy(bytes.data, cases[i].head, strlen(cases[i].head));
        assert_int_equal(dicom_file_open(bytes.data, bytes.length, &file), STATUS_OK);
        if (cases[i].kind)
            assert_string_equal(file.preamble_kind, cases[i].kind);
        else
            assert_null(file.preamble_kind);
        /* no preamble at all: what stands in front is the dataset's, or the prefix */
        assert_int_equal(dicom_file_open(bytes.data + 128, bytes.length - 128, &file), STATUS_OK);
        assert_null(file.preamble_kind);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written_head_is_read_again),
        cmocka_unit_test(test_files_with_missing_parts),
        cmocka_unit_test(test_a_syntax_that_is_no_uid),
        cmocka_unit_test(test_wrong_group_length_is_ignored),
        cmocka_unit_test(test_refused_files),
        cmocka_unit_test(test_what_a_preamble_makes_of_a_file),
        cmocka_unit_test(test_inflate),
        cmocka_unit_test(test_scan),
        cmocka_unit_test(test_scan_inflates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
