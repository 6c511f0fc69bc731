#include "dataset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#define E EXPLICIT_LITTLE

/* The walk as text: "E" element, "P" fragments, "S(" ")" sequence, "[" "]" item, "." end,
   "!" a failure with the status behind it. */
static void walk(const buffer_t *bytes, const char *syntax, buffer_t *out_text, bool *out_truncated)
{
    dicom_reader_t reader;
    dicom_reader_init(&reader, bytes->data, bytes->length, dicom_transfer_syntax_find(syntax));
    for (;;) {
        dicom_token_t token;
        status_t status = dicom_reader_next(&reader, &token);
        if (status != STATUS_OK) {
            buffer_printf(out_text, "!%s", status_name(status));
            break;
        }
        static const char *const marks[] = {"E", "P", "S(", ")", "[", "]", "."};
        buffer_append_text(out_text, marks[token.kind]);
        if (token.kind == DICOM_TOKEN_ELEMENT)
            buffer_printf(out_text, "%c%c%zu", token.vr >> 8, token.vr & 0xFF, token.length);
        if (token.kind == DICOM_TOKEN_END)
            break;
    }
    *out_truncated = reader.truncated;
}

static void put_sequence(buffer_t *out, encoding_t encoding, bool defined)
{
    buffer_t item = {0}, sequence = {0};
    put_text(&item, encoding, 0x00080100, "SH", "CODE");
    put_item(&sequence, encoding, ITEM_TAG, defined ? (uint32_t)item.length : NO_LENGTH);
    buffer_append(&sequence, item.data, item.length);
    if (!defined) {
        put_item(&sequence, encoding, ITEM_END_TAG, 0);
        put_item(&sequence, encoding, SEQUENCE_END_TAG, 0);
    }
    put_header(out, encoding, 0x0040A043, "SQ", defined ? (uint32_t)sequence.length : NO_LENGTH);
    buffer_append(out, sequence.data, sequence.length);
    buffer_destroy(&item);
    buffer_destroy(&sequence);
}

static void test_every_encoding_gives_the_same_tokens(void **state)
{
    (void)state;
    for (encoding_t encoding = IMPLICIT_LITTLE; encoding <= EXPLICIT_BIG; encoding++) {
        for (int defined = 0; defined < 2; defined++) {
            AUTO_BUFFER bytes = {0};
            AUTO_BUFFER text = {0};
            put_text(&bytes, encoding, 0x00100010, "PN", "A^B");
            put_us(&bytes, encoding, 0x00280010, 512);
            put_sequence(&bytes, encoding, defined);
            put_bytes(&bytes, encoding, 0x7FE00010, "OW", "12345678", 8);
            bool truncated;
            walk(&bytes, syntax_of(encoding), &text, &truncated);
            assert_string_equal(buffer_text(&text), "EPN4EUS2S([ESH4])EOW8.");
            assert_false(truncated);
        }
    }
}

/* What the field sends: bytes in hexadecimal, explicit VR little endian if not said otherwise. */
static void test_field_data(void **state)
{
    (void)state;
    static const struct {
        const char *name, *syntax, *bytes, *tokens;
        bool truncated;
    } cases[] = {
        {"empty", DICOM_EXPLICIT_LITTLE, "", ".", false},
        {"unknown VR of capitals has the long form", DICOM_EXPLICIT_LITTLE,
         "10001000 5858 0000 02000000 4142", "EPN2.", false},
        {"unknown private VR of capitals", DICOM_EXPLICIT_LITTLE,
         "11001010 5858 0000 02000000 4142", "EUN2.", false},
        {"question marks have the short form", DICOM_EXPLICIT_LITTLE, "11001010 3F3F 0200 4142",
         "EUN2.", false},
        {"implicit element in an explicit stream", DICOM_EXPLICIT_LITTLE,
         "10001000 02000000 4142 10002000 4C4F 0200 4344", "EPN2ELO2.", false},
        {"explicit data called implicit", DICOM_IMPLICIT_LITTLE,
         "08000500 4353 0200 4142 10002000 4C4F 0200 4344", "ECS2ELO2.", false},
        {"UN of a known attribute has its VR", DICOM_EXPLICIT_LITTLE,
         "10001000 554E 0000 02000000 4142", "EPN2.", false},
        {"UN of defined length with a known sequence in it", DICOM_EXPLICIT_LITTLE,
         "400043A0 554E 0000 12000000 FEFF00E0 0A000000 08000001 02000000 4142", "S([ESH2]).",
         false},
        {"UN of undefined length is implicit inside, explicit behind", DICOM_EXPLICIT_LITTLE,
         "11001010 554E 0000 FFFFFFFF FEFF00E0 0A000000 08000001 02000000 4142"
         "FEFFDDE0 00000000 12001010 4C4F 0200 4142",
         "S([ESH2])ELO2.", false},
        {"UN of undefined length with its sequence left explicit", DICOM_EXPLICIT_LITTLE,
         "11001010 554E 0000 FFFFFFFF FEFF00E0 0A000000 08000001 5348 0200 4142"
         "FEFFDDE0 00000000 12001010 4C4F 0200 4142",
         "S([ESH2])ELO2.", false},
        {"zeros behind the last element", DICOM_EXPLICIT_LITTLE,
         "10001000 504E 0200 4142 00000000 00000000 00000000", "EPN2.", false},
        {"zeros and then something", DICOM_EXPLICIT_LITTLE,
         "10001000 504E 0200 4142 00000000 00000000 00000001", "EPN2!INVALID", false},
        {"item delimiter missing", DICOM_EXPLICIT_LITTLE,
         "400043A0 5351 0000 FFFFFFFF FEFF00E0 FFFFFFFF 08000001 5348 0200 4142 FEFFDDE0 00000000",
         "S([ESH2]).", false},
        {"delimiter in a sequence of defined length", DICOM_EXPLICIT_LITTLE,
         "400043A0 5351 0000 10000000 FEFF00E0 00000000 FEFFDDE0 00000000", "S([]).", false},
        {"delimiter at top level", DICOM_EXPLICIT_LITTLE,
         "FEFFDDE0 00000000 10001000 504E 0200 4142", "EPN2.", false},
        {"item at top level", DICOM_EXPLICIT_LITTLE, "FEFF00E0 00000000", "!INVALID", false},
        {"element where an item should be", DICOM_EXPLICIT_LITTLE,
         "400043A0 5351 0000 FFFFFFFF 10001000 504E 0200 4142", "S(!INVALID", false},
        {"value leaves its item", DICOM_EXPLICIT_LITTLE,
         "400043A0 5351 0000 12000000 FEFF00E0 0A000000 08000001 5348 0400 4142 10001000 504E 0200"
         "4142",
         "S([!INVALID", false},
        {"item leaves its sequence", DICOM_EXPLICIT_LITTLE,
         "400043A0 5351 0000 08000000 FEFF00E0 0A000000 08000001 5348 0200 4142", "S(!INVALID",
         false},
        {"last value cut", DICOM_EXPLICIT_LITTLE, "E07F1000 4F57 0000 08000000 0102", "EOW2.",
         true},
        {"header cut", DICOM_EXPLICIT_LITTLE, "10001000 504E 0200 4142 1000", "EPN2.", true},
        {"sequence cut", DICOM_EXPLICIT_LITTLE,
         "400043A0 5351 0000 FFFFFFFF FEFF00E0 FFFFFFFF 08000001 5348 0200 4142", "S([ESH2]).",
         true},
        {"text of undefined length", DICOM_EXPLICIT_LITTLE, "08000001 5554 0000 FFFFFFFF 4142",
         "!INVALID", false},
        {"fragments", DICOM_EXPLICIT_LITTLE,
         "E07F1000 4F42 0000 FFFFFFFF FEFF00E0 00000000 FEFF00E0 02000000 FFD8"
         "FEFFDDE0 00000000 FCFFFCFF 4F42 0000 02000000 0000",
         "PEOB2.", false},
        {"fragments cut", DICOM_EXPLICIT_LITTLE,
         "E07F1000 4F42 0000 FFFFFFFF FEFF00E0 00000000 FEFF00E0 04000000 FFD8", "P.", true},
        {"something else among fragments", DICOM_EXPLICIT_LITTLE,
         "E07F1000 4F42 0000 FFFFFFFF FEFF00E0 00000000 10001000 504E 0200 4142", "!INVALID",
         false},
        {"fragment of undefined length", DICOM_EXPLICIT_LITTLE,
         "E07F1000 4F42 0000 FFFFFFFF FEFF00E0 FFFFFFFF 00000000", "!INVALID", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_BUFFER bytes = {0};
        AUTO_BUFFER text = {0};
        for (const char *at = cases[i].bytes; *at;) {
            unsigned byte;
            if (*at == ' ') {
                at++;
                continue;
            }
            assert_int_equal(sscanf(at, "%2x", &byte), 1);
            buffer_append_byte(&bytes, (uint8_t)byte);
            at += 2;
        }
        bool truncated;
        walk(&bytes, cases[i].syntax, &text, &truncated);
        if (strcmp(buffer_text(&text), cases[i].tokens) != 0 || truncated != cases[i].truncated)
            fail_msg("%s: %s %d, not %s", cases[i].name, buffer_text(&text), truncated,
                     cases[i].tokens);
    }
}

static void put_nested(buffer_t *out, unsigned depth)
{
    for (unsigned i = 0; i < depth; i++) {
        put_header(out, E, 0x0040A730, "SQ", NO_LENGTH);
        put_item(out, E, ITEM_TAG, NO_LENGTH);
    }
    for (unsigned i = 0; i < depth; i++) {
        put_item(out, E, ITEM_END_TAG, 0);
        put_item(out, E, SEQUENCE_END_TAG, 0);
    }
}

static void test_nesting_has_a_limit(void **state)
{
    (void)state;
    static const struct {
        unsigned depth;
        bool accepted;
    } cases[] = {
        {1, true}, {DICOM_NESTING_MAX, true}, {DICOM_NESTING_MAX + 1, false}, {5000, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_BUFFER bytes = {0};
        AUTO_BUFFER text = {0};
        put_nested(&bytes, cases[i].depth);
        bool truncated;
        walk(&bytes, DICOM_EXPLICIT_LITTLE, &text, &truncated);
        const char *end = buffer_text(&text) + text.length;
        assert_string_equal(cases[i].accepted ? end - 1 : end - 10,
                            cases[i].accepted ? "." : "!TOO_LARGE");
    }
}

static void test_depth_and_offsets(void **state)
{
    (void)state;
    AUTO_BUFFER bytes = {0};
    put_sequence(&bytes, E, false);
    dicom_reader_t reader;
    dicom_token_t token;
    dicom_reader_init(&reader, bytes.data, bytes.length,
                      dicom_transfer_syntax_find(DICOM_EXPLICIT_LITTLE));
    static const struct {
        dicom_token_kind_t kind;
        unsigned depth;
        size_t offset, value_offset;
    } cases[] = {
        {DICOM_TOKEN_SEQUENCE, 0, 0, 12},      {DICOM_TOKEN_ITEM, 1, 12, 20},
        {DICOM_TOKEN_ELEMENT, 1, 20, 28},      {DICOM_TOKEN_ITEM_END, 1, 32, 32},
        {DICOM_TOKEN_SEQUENCE_END, 0, 40, 40}, {DICOM_TOKEN_END, 0, 48, 48},
        {DICOM_TOKEN_END, 0, 48, 48},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(dicom_reader_next(&reader, &token), STATUS_OK);
        assert_int_equal(token.kind, cases[i].kind);
        assert_int_equal(token.depth, cases[i].depth);
        assert_int_equal(token.offset, cases[i].offset);
        assert_int_equal(token.value_offset, cases[i].value_offset);
        assert_ptr_equal(token.value, bytes.data + token.value_offset);
    }
}

static void test_skip_sequence(void **state)
{
    (void)state;
    for (int defined = 0; defined < 2; defined++) {
        AUTO_BUFFER bytes = {0};
        put_sequence(&bytes, EXPLICIT_BIG, defined);
        put_us(&bytes, EXPLICIT_BIG, 0x0040A993, 7);
        dicom_reader_t reader;
        dicom_token_t token;
        dicom_reader_init(&reader, bytes.data, bytes.length,
                          dicom_transfer_syntax_find(DICOM_EXPLICIT_BIG));
        assert_int_equal(dicom_reader_next(&reader, &token), STATUS_OK);
        assert_int_equal(token.kind, DICOM_TOKEN_SEQUENCE);
        assert_int_equal(dicom_reader_skip_sequence(&reader), STATUS_OK);
        assert_int_equal(dicom_reader_next(&reader, &token), STATUS_OK);
        assert_int_equal(token.tag, 0x0040A993);
        assert_int_equal(token.depth, 0);
        assert_int_equal(dicom_uint16(token.value, token.big_endian), 7);
    }
}

static void test_transfer_syntaxes(void **state)
{
    (void)state;
    static const struct {
        const char *uid;
        bool explicit_vr, big_endian, encapsulated, deflated;
        const char *media_type;
    } cases[] = {
        {DICOM_IMPLICIT_LITTLE, 0, 0, 0, 0, "application/octet-stream"},
        {DICOM_EXPLICIT_LITTLE, 1, 0, 0, 0, "application/octet-stream"},
        {DICOM_EXPLICIT_BIG, 1, 1, 0, 0, "application/octet-stream"},
        {DICOM_DEFLATED_LITTLE, 1, 0, 0, 1, "application/octet-stream"},
        {"1.2.840.10008.1.2.4.50", 1, 0, 1, 0, "image/jpeg"},
        {"1.2.840.10008.1.2.4.80", 1, 0, 1, 0, "image/jls"},
        {"1.2.840.10008.1.2.4.91", 1, 0, 1, 0, "image/jp2"},
        {"1.2.840.10008.1.2.4.202", 1, 0, 1, 0, "image/jphc"},
        {"1.2.840.10008.1.2.5", 1, 0, 1, 0, "image/dicom-rle"},
        {"1.2.3.4", 1, 0, 1, 0, "application/octet-stream"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const dicom_transfer_syntax_t *row = dicom_transfer_syntax_find(cases[i].uid);
        assert_int_equal(row->explicit_vr, cases[i].explicit_vr);
        assert_int_equal(row->big_endian, cases[i].big_endian);
        assert_int_equal(row->encapsulated, cases[i].encapsulated);
        assert_int_equal(row->deflated, cases[i].deflated);
        assert_string_equal(row->media_type, cases[i].media_type);
    }
    assert_string_equal(dicom_transfer_syntax_find("1.2.3.4")->uid, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_encoding_gives_the_same_tokens),
        cmocka_unit_test(test_field_data),
        cmocka_unit_test(test_nesting_has_a_limit),
        cmocka_unit_test(test_depth_and_offsets),
        cmocka_unit_test(test_skip_sequence),
        cmocka_unit_test(test_transfer_syntaxes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
