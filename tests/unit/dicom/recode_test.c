#include "dicom/recode.h"

#include "dataset.h"
#include "recoded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define E EXPLICIT_LITTLE

/* What a client gets. */
static status_t recode(const buffer_t *dataset, encoding_t encoding, buffer_t *out)
{
    dicom_recoded_t recoded;
    status_t status = dicom_recode(dataset->data, dataset->length, syntax_of(encoding), &recoded);
    if (status != STATUS_OK)
        return status;
    buffer_clear(out);
    append_recoded(&recoded, dataset->data, out);
    assert_int_equal(out->length, recoded.length);
    dicom_recoded_destroy(&recoded);
    return STATUS_OK;
}

static void check(const char *name, const buffer_t *dataset, encoding_t encoding,
                  const buffer_t *want)
{
    AUTO_BUFFER got = {0};
    if (recode(dataset, encoding, &got) != STATUS_OK)
        fail_msg("%s: %s", name, fail_detail());
    if (got.length != want->length || (got.length && memcmp(got.data, want->data, got.length) != 0))
        fail_msg("%s: %zu bytes, not %zu, or others", name, got.length, want->length);
}

/* ---- one element ---------------------------------------------------------------------------- */

static void test_implicit_elements(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t tag;
        size_t length;
        const char *value, *vr, *padding;
    } cases[] = {
        {"text", 0x00100010, 4, "A^B ", "PN", ""},
        {"empty", 0x00100010, 0, "", "PN", ""},
        {"odd text", 0x00100010, 3, "A^B", "PN", " "},
        {"odd UID", 0x00080018, 3, "1.2", "UI", "\0"},
        {"odd bytes", 0x00420011, 1, "x", "OB", "\0"},
        {"odd number", 0x00280010, 3, "\1\0\2", "US", NULL},
        {"number", 0x00280010, 2, "\1\0", "US", ""},
        {"AT", 0x00280009, 4, "\x18\0\x63\x10", "AT", ""},
        {"overlay", 0x60003000, 2, "ab", "OW", ""},
        {"pixels of 8 bits", 0x7FE00010, 2, "ab", "OW", ""},
        {"LUT of one entry", 0x00283006, 2, "ab", "US", ""},
        {"LUT of two", 0x00283006, 4, "abcd", "OW", ""},
        {"private creator", 0x00090010, 4, "ACME", "LO", ""},
        {"private", 0x00091001, 2, "ab", "UN", ""},
        {"not in the dictionary", 0x00087FFE, 2, "ab", "UN", ""},
        {"a long form", 0x00081190, 2, "a:", "UR", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_BUFFER in = {0};
        AUTO_BUFFER want = {0};
        put_bytes(&in, IMPLICIT_LITTLE, cases[i].tag, "", cases[i].value, cases[i].length);
        size_t padding = cases[i].padding ? cases[i].length % 2 : 0;
        put_header(&want, E, cases[i].tag, cases[i].vr, (uint32_t)(cases[i].length + padding));
        buffer_append(&want, cases[i].value, cases[i].length);
        buffer_append(&want, cases[i].padding, padding);
        check(cases[i].name, &in, IMPLICIT_LITTLE, &want);
    }
}

/* The same numbers in both orders; what has no words stays. */
static void test_big_endian_elements(void **state)
{
    (void)state;
    static const struct {
        uint32_t tag;
        const char *vr;
        unsigned word;
    } cases[] = {
        {0x00280009, "AT", 2}, {0x00280010, "US", 2}, {0x00280106, "SS", 2}, {0x00186020, "SL", 4},
        {0x00186016, "UL", 4}, {0x00189308, "FD", 8}, {0x00081163, "FL", 4}, {0x00660023, "OW", 2},
        {0x00660040, "OL", 4}, {0x00660016, "OF", 4}, {0x00660022, "OD", 8}, {0x00720082, "SV", 8},
        {0x00720083, "UV", 8}, {0x00720081, "OV", 8}, {0x00091010, "UN", 1}, {0x00420011, "OB", 1},
        {0x00091002, "US", 2}, {0x00100010, "PN", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_BUFFER in = {0};
        AUTO_BUFFER want = {0};
        put_header(&in, EXPLICIT_BIG, cases[i].tag, cases[i].vr, 16);
        put_header(&want, E, cases[i].tag, cases[i].vr, 16);
        for (unsigned at = 0; at < 16; at += cases[i].word) {
            uint64_t value = 0x4142434445464748u >> 8 * (8 - cases[i].word);
            put_uint(&in, EXPLICIT_BIG, value + at, cases[i].word);
            put_uint(&want, E, value + at, cases[i].word);
        }
        check(cases[i].vr, &in, EXPLICIT_BIG, &want);
    }
}

/* PS3.5 6.2.2: what its VR's 16-bit length cannot say. */
static void test_too_long_for_its_vr(void **state)
{
    (void)state;
    static const struct {
        size_t length;
        const char *vr;
    } cases[] = {{65534, "DS"}, {65535, "UN"}, {65536, "UN"}, {200000, "UN"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t length = cases[i].length;
        AUTO_BUFFER in = {0};
        AUTO_BUFFER want = {0};
        put_header(&in, IMPLICIT_LITTLE, 0x00281050, "DS", (uint32_t)length);
        put_header(&want, E, 0x00281050, cases[i].vr, (uint32_t)(length + length % 2));
        for (size_t at = 0; at < length + length % 2; at++) {
            if (at < length)
                buffer_append_byte(&in, '1');
            buffer_append_byte(&want, at < length ? '1' : ' ');
        }
        put_us(&in, IMPLICIT_LITTLE, 0x00281052, 1);
        put_bytes(&want, E, 0x00281052, "DS", "\1\0", 2);
        check(cases[i].vr, &in, IMPLICIT_LITTLE, &want);
    }
}

static void test_left_out(void **state)
{
    (void)state;
    for (encoding_t encoding = IMPLICIT_LITTLE; encoding <= EXPLICIT_BIG; encoding++) {
        AUTO_BUFFER in = {0};
        AUTO_BUFFER want = {0};
        put_bytes(&in, encoding, 0x00020010, "UI", "1.2\0", 4);
        put_header(&in, encoding, 0x00080000, "UL", 4);
        put_uint(&in, encoding, 1234, 4);
        put_text(&in, encoding, 0x00080060, "CS", "CT");
        put_bytes(&in, encoding, 0xFFFCFFFC, "OB", "\0\0\0\0", 4);
        buffer_append(&in, "\0\0\0\0\0\0\0\0\0\0", 10);
        put_text(&want, E, 0x00080060, "CS", "CT");
        check(syntax_of(encoding), &in, encoding, &want);
    }
}

/* ---- sequences ------------------------------------------------------------------------------ */

/* What an item holds: a text and a number. */
static void put_content(buffer_t *out, encoding_t encoding)
{
    put_text(out, encoding, 0x00080100, "SH", "A");
    put_us(out, encoding, 0x00280010, 0x1234);
}

static void put_sequence(buffer_t *out, encoding_t encoding, uint32_t tag, bool undefined)
{
    AUTO_BUFFER content = {0};
    put_content(&content, encoding);
    uint32_t length = (uint32_t)content.length;
    put_header(out, encoding, tag, "SQ", undefined ? NO_LENGTH : length + 8);
    put_item(out, encoding, ITEM_TAG, undefined ? NO_LENGTH : length);
    buffer_append(out, content.data, content.length);
    if (undefined) {
        put_item(out, encoding, ITEM_END_TAG, 0);
        put_item(out, encoding, SEQUENCE_END_TAG, 0);
    }
}

static void test_sequences(void **state)
{
    (void)state;
    for (encoding_t encoding = IMPLICIT_LITTLE; encoding <= EXPLICIT_BIG; encoding++) {
        for (int undefined = 0; undefined <= 1; undefined++) {
            AUTO_BUFFER in = {0};
            AUTO_BUFFER want = {0};
            put_sequence(&in, encoding, 0x00081032, undefined);
            put_header(&in, encoding, 0x00081111, "SQ", 0);
            put_sequence(&want, E, 0x00081032, undefined);
            put_header(&want, E, 0x00081111, "SQ", 0);
            check(syntax_of(encoding), &in, encoding, &want);
        }
    }
}

/* A defined length counts what lies in values that stay in the source. */
static void test_long_value_in_a_sequence(void **state)
{
    (void)state;
    enum { LENGTH = 10001 };
    AUTO_BUFFER in = {0};
    AUTO_BUFFER want = {0};
    put_header(&in, EXPLICIT_BIG, 0x00091010, "SQ", 8 + 12 + LENGTH);
    put_item(&in, EXPLICIT_BIG, ITEM_TAG, 12 + LENGTH);
    put_header(&in, EXPLICIT_BIG, 0x54001010, "OB", LENGTH);
    put_header(&want, E, 0x00091010, "SQ", 8 + 12 + LENGTH + 1);
    put_item(&want, E, ITEM_TAG, 12 + LENGTH + 1);
    put_header(&want, E, 0x54001010, "OB", LENGTH + 1);
    for (unsigned i = 0; i < LENGTH; i++) {
        buffer_append_byte(&in, (uint8_t)i);
        buffer_append_byte(&want, (uint8_t)i);
    }
    buffer_append_byte(&want, 0);
    put_us(&in, EXPLICIT_BIG, 0x00280010, 7);
    put_us(&want, E, 0x00280010, 7);
    check("long", &in, EXPLICIT_BIG, &want);
}

/* PS3.5 6.2.2: inside UN of undefined length all is implicit VR little endian. */
static void test_sequence_in_un(void **state)
{
    (void)state;
    for (encoding_t encoding = EXPLICIT_LITTLE; encoding <= EXPLICIT_BIG; encoding++) {
        AUTO_BUFFER in = {0};
        AUTO_BUFFER want = {0};
        put_header(&in, encoding, 0x00091010, "UN", NO_LENGTH);
        put_item(&in, IMPLICIT_LITTLE, ITEM_TAG, NO_LENGTH);
        put_content(&in, IMPLICIT_LITTLE);
        put_item(&in, IMPLICIT_LITTLE, ITEM_END_TAG, 0);
        put_item(&in, IMPLICIT_LITTLE, SEQUENCE_END_TAG, 0);
        put_us(&in, encoding, 0x00280010, 7);
        put_sequence(&want, E, 0x00091010, true);
        put_us(&want, E, 0x00280010, 7);
        check(syntax_of(encoding), &in, encoding, &want);
    }
}

/* A private sequence of defined length in implicit VR: nobody can know, so its bytes are UN. */
static void test_private_sequence_of_defined_length(void **state)
{
    (void)state;
    AUTO_BUFFER in = {0};
    AUTO_BUFFER want = {0};
    AUTO_BUFFER content = {0};
    put_content(&content, IMPLICIT_LITTLE);
    put_header(&in, IMPLICIT_LITTLE, 0x00091010, "", (uint32_t)content.length + 8);
    put_item(&in, IMPLICIT_LITTLE, ITEM_TAG, (uint32_t)content.length);
    buffer_append(&in, content.data, content.length);
    put_header(&want, E, 0x00091010, "UN", (uint32_t)content.length + 8);
    put_item(&want, E, ITEM_TAG, (uint32_t)content.length);
    buffer_append(&want, content.data, content.length);
    check("UN", &in, IMPLICIT_LITTLE, &want);
}

/* US or SS: by Pixel Representation of the item, else of what lies around it. */
static void test_sign(void **state)
{
    (void)state;
    AUTO_BUFFER in = {0};
    AUTO_BUFFER want = {0};
    const struct {
        buffer_t *out;
        encoding_t encoding;
    } both[] = {{&in, IMPLICIT_LITTLE}, {&want, E}};
    for (unsigned i = 0; i < 2; i++) {
        buffer_t *out = both[i].out;
        encoding_t encoding = both[i].encoding;
        put_header(out, encoding, 0x00081140, "SQ", NO_LENGTH);
        put_item(out, encoding, ITEM_TAG, NO_LENGTH);
        put_us(out, encoding, 0x00280103, 0);
        put_bytes(out, encoding, 0x00280106, "US", "\xFF\xFF", 2);
        put_item(out, encoding, ITEM_END_TAG, 0);
        put_item(out, encoding, ITEM_TAG, NO_LENGTH);
        put_bytes(out, encoding, 0x00280106, "SS", "\xFF\xFF", 2); /* decided behind it */
        put_item(out, encoding, ITEM_END_TAG, 0);
        put_item(out, encoding, SEQUENCE_END_TAG, 0);
        put_us(out, encoding, 0x00280103, 1);
        put_bytes(out, encoding, 0x00280106, "SS", "\xFF\xFF", 2);
    }
    check("sign", &in, IMPLICIT_LITTLE, &want);
}

/* ---- pixels --------------------------------------------------------------------------------- */

static void test_big_endian_pixels(void **state)
{
    (void)state;
    static const struct {
        const char *name, *vr;
        uint16_t bits;
        const char *in, *want;
    } cases[] = {
        {"8 bits in OB", "OB", 8, "12345678", "12345678"},
        {"8 bits in OW lie in words of 16", "OW", 8, "12345678", "21436587"},
        {"1 bit in OB", "OB", 1, "12345678", "12345678"},
        {"16 bits", "OW", 16, "12345678", "21436587"},
        {"32 bits", "OW", 32, "12345678", "43218765"},
        {"64 bits", "OW", 64, "12345678", "87654321"},
        {"undescribed", "OW", 0, "12345678", "21436587"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t repeat = 1; repeat <= 2000;
             repeat += 1999) { /* copied, and left in the source */
            AUTO_BUFFER in = {0};
            AUTO_BUFFER want = {0};
            if (cases[i].bits) {
                put_us(&in, EXPLICIT_BIG, 0x00280100, cases[i].bits);
                put_us(&want, E, 0x00280100, cases[i].bits);
            }
            put_header(&in, EXPLICIT_BIG, 0x7FE00010, cases[i].vr, (uint32_t)(8 * repeat));
            put_header(&want, E, 0x7FE00010, cases[i].vr, (uint32_t)(8 * repeat));
            for (size_t at = 0; at < repeat; at++) {
                buffer_append(&in, cases[i].in, 8);
                buffer_append(&want, cases[i].want, 8);
            }
            check(cases[i].name, &in, EXPLICIT_BIG, &want);
        }
    }
}

/* A long value is not copied, wherever it is. */
static void test_long_values_stay_in_the_source(void **state)
{
    (void)state;
    AUTO_BUFFER in = {0};
    put_header(&in, IMPLICIT_LITTLE, 0x7FE00010, "OW", 1000000);
    size_t begin = in.length;
    buffer_reserve(&in, 1000000);
    memset(in.data + in.length, 'x', 1000000);
    in.length += 1000000;
    dicom_recoded_t recoded;
    assert_int_equal(dicom_recode(in.data, in.length, DICOM_IMPLICIT_LITTLE, &recoded), STATUS_OK);
    assert_int_equal(recoded.value_count, 1);
    assert_int_equal(recoded.bytes.length, 12);
    assert_int_equal(recoded.values[0].after, 12);
    assert_int_equal(recoded.values[0].offset, begin);
    assert_int_equal(recoded.values[0].length, 1000000);
    dicom_recoded_destroy(&recoded);
}

/* Pixel data whose end is missing says how much there is. */
static void test_cut_pixels(void **state)
{
    (void)state;
    AUTO_BUFFER in = {0};
    AUTO_BUFFER want = {0};
    put_header(&in, IMPLICIT_LITTLE, 0x7FE00010, "OW", 100);
    buffer_append_text(&in, "abc");
    put_header(&want, E, 0x7FE00010, "OW", 4);
    buffer_append(&want, "abc\0", 4);
    check("cut", &in, IMPLICIT_LITTLE, &want);
}

/* ---- refusals ------------------------------------------------------------------------------- */

static void test_refusals(void **state)
{
    (void)state;
    AUTO_BUFFER out = {0};
    AUTO_BUFFER fragments = {0};
    put_header(&fragments, IMPLICIT_LITTLE, 0x7FE00010, "OW", NO_LENGTH);
    put_item(&fragments, IMPLICIT_LITTLE, ITEM_TAG, 0);
    put_item(&fragments, IMPLICIT_LITTLE, SEQUENCE_END_TAG, 0);
    assert_int_equal(recode(&fragments, IMPLICIT_LITTLE, &out), STATUS_UNSUPPORTED);

    AUTO_BUFFER cut = {0};
    put_header(&cut, IMPLICIT_LITTLE, 0x00100010, "PN", 100);
    buffer_append_text(&cut, "abc");
    assert_int_equal(recode(&cut, IMPLICIT_LITTLE, &out), STATUS_INVALID);

    AUTO_BUFFER open = {0};
    put_header(&open, IMPLICIT_LITTLE, 0x00081111, "SQ", NO_LENGTH);
    assert_int_equal(recode(&open, IMPLICIT_LITTLE, &out), STATUS_INVALID);

    AUTO_BUFFER deep = {0};
    for (int i = 0; i <= DICOM_NESTING_MAX; i++) {
        put_header(&deep, IMPLICIT_LITTLE, 0x00081111, "SQ", NO_LENGTH);
        put_item(&deep, IMPLICIT_LITTLE, ITEM_TAG, NO_LENGTH);
    }
    assert_int_equal(recode(&deep, IMPLICIT_LITTLE, &out), STATUS_TOO_LARGE);
}

/* More attributes than one answer may hold in memory: 12 bytes each of 8. */
static void test_too_many_attributes(void **state)
{
    (void)state;
    AUTO_BUFFER in = {0};
    AUTO_BUFFER out = {0};
    size_t count = DICOM_RECODE_BYTES_MAX / 12 + 1;
    buffer_reserve(&in, count * 8);
    for (size_t i = 0; i < count; i++)
        buffer_append(&in, "\x09\0\x01\x10\0\0\0\0", 8);
    assert_int_equal(recode(&in, IMPLICIT_LITTLE, &out), STATUS_TOO_LARGE);
}

static void test_takes(void **state)
{
    (void)state;
    assert_true(dicom_recode_takes(DICOM_IMPLICIT_LITTLE));
    assert_true(dicom_recode_takes(DICOM_EXPLICIT_BIG));
    assert_true(dicom_recode_takes(DICOM_DEFLATED_LITTLE));
    assert_false(dicom_recode_takes(DICOM_EXPLICIT_LITTLE));
    assert_false(dicom_recode_takes("1.2.840.10008.1.2.4.50"));
    assert_false(dicom_recode_takes("1.2.840.113619.5.2"));
    assert_false(dicom_recode_takes(""));
}

/* ---- words ---------------------------------------------------------------------------------- */

/* Any part of a turned value is that part of all of it; a cut last word stays. */
static void test_words(void **state)
{
    (void)state;
    static const struct {
        unsigned word;
        const char *turned;
    } cases[] = {{1, "abcdefghijklmnopqrs"},
                 {2, "badcfehgjilknmporqs"},
                 {4, "dcbahgfelkjiponmqrs"},
                 {8, "hgfedcbaponmlkjiqrs"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t first = 0; first <= 19; first++)
            for (size_t length = 0; first + length <= 19; length++) {
                uint8_t out[19];
                dicom_words_turn(out, (const uint8_t *)"abcdefghijklmnopqrs", 19, first, length,
                                 cases[i].word);
                assert_memory_equal(out, cases[i].turned + first, length);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_implicit_elements),
        cmocka_unit_test(test_big_endian_elements),
        cmocka_unit_test(test_too_long_for_its_vr),
        cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_sequences),
        cmocka_unit_test(test_long_value_in_a_sequence),
        cmocka_unit_test(test_sequence_in_un),
        cmocka_unit_test(test_private_sequence_of_defined_length),
        cmocka_unit_test(test_sign),
        cmocka_unit_test(test_big_endian_pixels),
        cmocka_unit_test(test_long_values_stay_in_the_source),
        cmocka_unit_test(test_cut_pixels),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_too_many_attributes),
        cmocka_unit_test(test_takes),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
