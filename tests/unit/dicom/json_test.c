#include "dicom/json.h"

#include "dataset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define E EXPLICIT_LITTLE

static const dicom_json_options_t plain = {.bulk_data_uri = "/b", .inline_max = 16};

static const char *json_of(const buffer_t *bytes, const char *syntax,
                           const dicom_json_options_t *options, buffer_t *out)
{
    buffer_clear(out);
    if (dicom_json_write(bytes->data, bytes->length, syntax, options, out) != STATUS_OK)
        return status_name(STATUS_INVALID);
    return buffer_text(out);
}

/* One element, in every encoding: the JSON is the same. Text values only. */
static void test_text_values(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t tag;
        const char *vr, *value, *json; /* json: what follows the vr */
    } cases[] = {
        {"empty", 0x00100020, "LO", "", ""},
        {"only blanks", 0x00100020, "LO", "  ", ""},
        {"padding", 0x00100020, "LO", " A B ", ",\"Value\":[\"A B\"]"},
        {"several", 0x00080008, "CS", "ORIGINAL\\PRIMARY", ",\"Value\":[\"ORIGINAL\",\"PRIMARY\"]"},
        {"holes", 0x00080008, "CS", "\\A\\", ",\"Value\":[null,\"A\",null]"},
        {"only holes", 0x00080008, "CS", "\\", ",\"Value\":[null,null]"},
        {"escapes", 0x00100020, "LO", "a\"b\x01", ",\"Value\":[\"a\\\"b\\u0001\"]"},
        {"one text", 0x00204000, "LT", " a\\b\r\nc ", ",\"Value\":[\" a\\\\b\\r\\nc\"]"},
        {"name", 0x00100010, "PN", "A^B=\xE9=C",
         ",\"Value\":[{\"Alphabetic\":\"A^B\",\"Ideographic\":\"é\",\"Phonetic\":\"C\"}]"},
        {"name without the first group", 0x00100010, "PN", "=B",
         ",\"Value\":[{\"Ideographic\":\"B\"}]"},
        {"empty name", 0x00100010, "PN", "==", ""},
        {"names", 0x00081060, "PN", "A\\\\B",
         ",\"Value\":[{\"Alphabetic\":\"A\"},null,{\"Alphabetic\":\"B\"}]"},
        {"IS", 0x00200013, "IS", "+007", ",\"Value\":[7]"},
        {"IS negative", 0x00200013, "IS", "-12 ", ",\"Value\":[-12]"},
        {"IS that is none", 0x00200013, "IS", "1A", ",\"Value\":[\"1A\"]"},
        {"DS", 0x00281050, "DS", "1.50\\-.5\\5.\\ 1e+05\\0\\-0.0",
         ",\"Value\":[1.50,-0.5,5,1e05,0,-0.0]"},
        {"DS that are none", 0x00281050, "DS", "-\\.\\1e\\0x1\\1,5\\NaN",
         ",\"Value\":[\"-\",\".\",\"1e\",\"0x1\",\"1,5\",\"NaN\"]"},
    };
    for (encoding_t encoding = IMPLICIT_LITTLE; encoding <= EXPLICIT_BIG; encoding++) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            AUTO_BUFFER bytes = {0};
            AUTO_BUFFER out = {0};
            AUTO_BUFFER want = {0};
            put_text(&bytes, encoding, cases[i].tag, cases[i].vr, cases[i].value);
            buffer_printf(&want, "{\"%08X\":{\"vr\":\"%s\"%s}}", cases[i].tag, cases[i].vr,
                          cases[i].json);
            const char *json = json_of(&bytes, syntax_of(encoding), &plain, &out);
            if (strcmp(json, buffer_text(&want)) != 0)
                fail_msg("%s: %s, not %s", cases[i].name, json, buffer_text(&want));
        }
    }
}

/* Binary values, little endian in the table; big endian gives the same JSON. */
static void test_binary_values(void **state)
{
    (void)state;
    static const struct {
        uint32_t tag;
        const char *vr;
        unsigned unit;
        size_t length;
        const char *value, *json;
    } cases[] = {
        {0x00280010, "US", 2, 2, "\xFF\xFF", ",\"Value\":[65535]"},
        {0x00280010, "US", 2, 0, "", ""},
        {0x00189219, "SS", 2, 4, "\xFF\xFF\x01\x00", ",\"Value\":[-1,1]"},
        {0x00720078, "UL", 4, 4, "\xFF\xFF\xFF\xFF", ",\"Value\":[4294967295]"},
        {0x0072007C, "SL", 4, 4, "\x00\x00\x00\x80", ",\"Value\":[-2147483648]"},
        {0x00720076, "FL", 4, 8, "\xCD\xCC\xCC\x3D\x00\x00\xC0\x7F", ",\"Value\":[0.1,\"NaN\"]"},
        {0x00720074, "FD", 8, 16,
         "\x9A\x99\x99\x99\x99\x99\xB9\x3F\x00\x00\x00\x00\x00\x00\xF0\xFF",
         ",\"Value\":[0.1,\"-Infinity\"]"},
        {0x00720082, "SV", 8, 8, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", ",\"Value\":[-1]"},
        {0x00720083, "UV", 8, 8, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
         ",\"Value\":[\"18446744073709551615\"]"},
        {0x00280009, "AT", 2, 4, "\x18\x00\x63\x10", ",\"Value\":[\"00181063\"]"},
        {0x00720069, "OW", 2, 4, "\x01\x02\x03\x04", ",\"InlineBinary\":\"AQIDBA==\""},
        {0x00720067, "OF", 4, 4, "\x01\x02\x03\x04", ",\"InlineBinary\":\"AQIDBA==\""},
        {0x00720073, "OD", 8, 8, "\x01\x02\x03\x04\x05\x06\x07\x08",
         ",\"InlineBinary\":\"AQIDBAUGBwg=\""},
        {0x00720065, "OB", 1, 2, "\x01\x02", ",\"InlineBinary\":\"AQI=\""},
        {0x00720065, "OB", 1, 18, "123456789012345678", ",\"BulkDataURI\":\"/b/00720065\""},
        {0x00091010, "UN", 1, 2, "AB", ",\"InlineBinary\":\"QUI=\""},
        {0x7FE00010, "OW", 2, 4, "\x01\x02\x03\x04", ",\"BulkDataURI\":\"/b/7FE00010\""},
        {0x7FE00010, "OW", 2, 0, "", ""},
    };
    for (encoding_t encoding = EXPLICIT_LITTLE; encoding <= EXPLICIT_BIG; encoding++) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            AUTO_BUFFER bytes = {0};
            AUTO_BUFFER out = {0};
            AUTO_BUFFER want = {0};
            put_header(&bytes, encoding, cases[i].tag, cases[i].vr, (uint32_t)cases[i].length);
            for (size_t k = 0; k < cases[i].length; k++)
                buffer_append_byte(
                    &bytes,
                    (uint8_t)cases[i]
                        .value[encoding == EXPLICIT_BIG
                                   ? k - k % cases[i].unit + cases[i].unit - 1 - k % cases[i].unit
                                   : k]);
            buffer_printf(&want, "{\"%08X\":{\"vr\":\"%s\"%s}}", cases[i].tag, cases[i].vr,
                          cases[i].json);
            assert_string_equal(json_of(&bytes, syntax_of(encoding), &plain, &out),
                                buffer_text(&want));
        }
    }
}

static void test_implicit_vr_chooses_by_pixel_representation(void **state)
{
    (void)state;
    AUTO_BUFFER bytes = {0};
    AUTO_BUFFER out = {0};
    put_us(&bytes, IMPLICIT_LITTLE, 0x00189810, 0xFFFF); /* stands before what it depends on */
    put_us(&bytes, IMPLICIT_LITTLE, 0x00280103, 1);
    put_us(&bytes, IMPLICIT_LITTLE, 0x00280120, 0xFFFE);
    put_us(&bytes, IMPLICIT_LITTLE, 0x00283006, 5);
    assert_string_equal(json_of(&bytes, DICOM_IMPLICIT_LITTLE, &plain, &out),
                        "{\"00189810\":{\"vr\":\"SS\",\"Value\":[-1]},"
                        "\"00280103\":{\"vr\":\"US\",\"Value\":[1]},"
                        "\"00280120\":{\"vr\":\"SS\",\"Value\":[-2]},"
                        "\"00283006\":{\"vr\":\"US\",\"Value\":[5]}}");
}

/* A dataset out of order with a doubled tag, an item with a character set of its own, bulk in it.
 */
static void put_mixed(buffer_t *bytes)
{
    put_text(bytes, E, 0x00080005, "CS", "ISO_IR 100");
    put_us(bytes, E, 0x00080000, 4);
    put_text(bytes, E, 0x00100020, "LO", "second");
    put_text(bytes, E, 0x00100010, "PN", "\xE9");
    put_text(bytes, E, 0x00100010, "PN", "\xE8");
    put_header(bytes, E, 0x00540016, "SQ", NO_LENGTH);
    put_item(bytes, E, ITEM_TAG, NO_LENGTH);
    put_item(bytes, E, ITEM_END_TAG, 0);
    put_item(bytes, E, ITEM_TAG, NO_LENGTH);
    put_text(bytes, E, 0x00180031, "LO", "b");
    put_text(bytes, E, 0x00080005, "CS", "ISO_IR 192");
    put_text(bytes, E, 0x00180032, "LO", "\xC3\xA9");
    put_bytes(bytes, E, 0x00720065, "OB", "0123456789abcdefXY", 18);
    put_item(bytes, E, ITEM_END_TAG, 0);
    put_item(bytes, E, SEQUENCE_END_TAG, 0);
    put_header(bytes, E, 0x00081140, "SQ", 0);
    put_text(bytes, E, 0x00700081, "LO", "\xE9");
    put_bytes(bytes, E, 0xFFFCFFFC, "OB", "\0\0", 2);
}

static void test_structure(void **state)
{
    (void)state;
    AUTO_BUFFER bytes = {0};
    AUTO_BUFFER out = {0};
    put_mixed(&bytes);
    assert_string_equal(
        json_of(&bytes, DICOM_EXPLICIT_LITTLE, &plain, &out),
        "{\"00080005\":{\"vr\":\"CS\",\"Value\":[\"ISO_IR 192\"]},"
        "\"00081140\":{\"vr\":\"SQ\"},"
        "\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"è\"}]},"
        "\"00100020\":{\"vr\":\"LO\",\"Value\":[\"second\"]},"
        "\"00540016\":{\"vr\":\"SQ\",\"Value\":[{},"
        "{\"00080005\":{\"vr\":\"CS\",\"Value\":[\"ISO_IR 192\"]},"
        "\"00180031\":{\"vr\":\"LO\",\"Value\":[\"b\"]},"
        "\"00180032\":{\"vr\":\"LO\",\"Value\":[\"é\"]},"
        "\"00720065\":{\"vr\":\"OB\",\"BulkDataURI\":\"/b/00540016/2/00720065\"}}]},"
        "\"00700081\":{\"vr\":\"LO\",\"Value\":[\"é\"]}}");
}

static void test_options(void **state)
{
    (void)state;
    static const uint32_t tags[] = {0x00100020, 0x00540016};
    static const struct {
        const char *name;
        dicom_json_options_t options;
        const char *json;
    } cases[] = {
        {"only some",
         {.only_tags = tags, .only_count = 1},
         "{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"x\"]}}"},
        {"long text is bulk",
         {.bulk_data_uri = "u\"", .text_inline_max = 2},
         "{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"x\"]},"
         "\"00204000\":{\"vr\":\"LT\",\"BulkDataURI\":\"u\\\"/00204000\"},"
         "\"7FE00010\":{\"vr\":\"OB\",\"BulkDataURI\":\"u\\\"/7FE00010\"},"
         "\"7FE10011\":{\"vr\":\"LO\",\"Value\":[\"y\"]}}"},
        {"no bulk, no pixels",
         {.stop_before_pixel_data = true},
         "{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"x\"]},"
         "\"00204000\":{\"vr\":\"LT\",\"Value\":[\"long\"]}}"},
        {"no bulk",
         {.bulk_data_uri = NULL},
         "{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"x\"]},"
         "\"00204000\":{\"vr\":\"LT\",\"Value\":[\"long\"]},"
         "\"7FE00010\":{\"vr\":\"OB\"},\"7FE10011\":{\"vr\":\"LO\",\"Value\":[\"y\"]}}"},
    };
    AUTO_BUFFER bytes = {0};
    put_text(&bytes, E, 0x00100020, "LO", "x");
    put_text(&bytes, E, 0x00204000, "LT", "long");
    put_bytes(&bytes, E, 0x7FE00010, "OB", "1234", 4);
    put_text(&bytes, E, 0x7FE10011, "LO", "y");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_BUFFER out = {0};
        const char *json = json_of(&bytes, DICOM_EXPLICIT_LITTLE, &cases[i].options, &out);
        if (strcmp(json, cases[i].json) != 0)
            fail_msg("%s: %s", cases[i].name, json);
    }
}

static void test_prefix_up_to_the_pixels_gives_the_same(void **state)
{
    (void)state;
    AUTO_BUFFER bytes = {0};
    AUTO_BUFFER whole = {0};
    AUTO_BUFFER part = {0};
    put_text(&bytes, E, 0x00100020, "LO", "x");
    put_bytes(&bytes, E, 0x7FE00010, "OB", "12345678", 8);
    assert_string_equal(json_of(&bytes, DICOM_EXPLICIT_LITTLE, &plain, &whole),
                        "{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"x\"]},"
                        "\"7FE00010\":{\"vr\":\"OB\",\"BulkDataURI\":\"/b/7FE00010\"}}");
    for (int missing = 1; missing <= 8; missing++) { /* of the pixels; 8: all of them */
        bytes.length--;
        assert_string_equal(json_of(&bytes, DICOM_EXPLICIT_LITTLE, &plain, &part),
                            buffer_text(&whole));
    }
}

static void test_failure_leaves_the_buffer(void **state)
{
    (void)state;
    AUTO_BUFFER bytes = {0};
    AUTO_BUFFER out = {0};
    buffer_append_text(&out, "[");
    put_text(&bytes, E, 0x00080005, "CS", "ISO_IR 100");
    put_header(&bytes, E, 0x00540016, "SQ", NO_LENGTH);
    put_item(&bytes, E, ITEM_TAG, NO_LENGTH);
    put_text(&bytes, E, 0x00080005, "CS", "ISO_IR 192");
    put_item(&bytes, E, ITEM_TAG, 0);
    assert_int_equal(
        dicom_json_write(bytes.data, bytes.length, DICOM_EXPLICIT_LITTLE, &plain, &out),
        STATUS_INVALID);
    assert_string_equal(buffer_text(&out), "[");
}

static void test_bulk_find(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        status_t status;
        const char *value;
    } cases[] = {
        {"00540016/2/00720065", STATUS_OK, "0123456789abcdefXY"},
        {"00100020", STATUS_OK, "second"},
        {"00100010", STATUS_OK, "\xE8 "},
        {"00540016/1/00720065", STATUS_NOT_FOUND, NULL},
        {"00540016/3/00720065", STATUS_NOT_FOUND, NULL},
        {"00720065", STATUS_NOT_FOUND, NULL},
        {"00540016", STATUS_NOT_FOUND, NULL},
        {"00100020/1/00720065", STATUS_NOT_FOUND, NULL},
        {"", STATUS_INVALID, NULL},
        {"0054001", STATUS_INVALID, NULL},
        {"00540016/", STATUS_INVALID, NULL},
        {"00540016/2", STATUS_INVALID, NULL},
        {"00540016/0/00720065", STATUS_INVALID, NULL},
        {"00540016/-1/00720065", STATUS_INVALID, NULL},
        {"00540016/2/00720065/", STATUS_INVALID, NULL},
        {"0054001G", STATUS_INVALID, NULL},
    };
    AUTO_BUFFER bytes = {0};
    put_mixed(&bytes);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const uint8_t *value = NULL;
        size_t length = 0;
        uint16_t vr;
        bool encapsulated = true;
        status_t status = dicom_bulk_find(bytes.data, bytes.length, DICOM_EXPLICIT_LITTLE,
                                          cases[i].path, &value, &length, &vr, &encapsulated);
        if (status != cases[i].status)
            fail_msg("%s: %s", cases[i].path, status_name(status));
        if (status != STATUS_OK)
            continue;
        assert_int_equal(length, strlen(cases[i].value));
        assert_memory_equal(value, cases[i].value, length);
        assert_false(encapsulated);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_values),
        cmocka_unit_test(test_binary_values),
        cmocka_unit_test(test_implicit_vr_chooses_by_pixel_representation),
        cmocka_unit_test(test_structure),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_prefix_up_to_the_pixels_gives_the_same),
        cmocka_unit_test(test_failure_leaves_the_buffer),
        cmocka_unit_test(test_bulk_find),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
