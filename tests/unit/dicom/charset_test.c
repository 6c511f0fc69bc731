#include "dicom/charset.h"

#include "dicom/reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

typedef struct {
    const char *name, *charset, *vr, *bytes, *text;
} charset_case_t;

/* Examples of PS3.5 Annexes H, I, J and K, one of each set of PS3.3 C.12.1.1.2, and field data. */
static const charset_case_t cases[] = {
    {"ASCII", "", "PN", "Buc^J", "Buc^J"},
    {"Latin 1", "ISO_IR 100", "PN", "Buc^J\xE9r\xF4me", "Buc^Jérôme"},
    {"Latin 2", "ISO_IR 101", "PN", "W\xB1sowicz", "Wąsowicz"},
    {"Latin 3", "ISO_IR 109", "LO", "\xA1", "Ħ"},
    {"Latin 4", "ISO_IR 110", "LO", "\xA2", "ĸ"},
    {"Cyrillic", "ISO_IR 144", "PN", "\xBB\xEE\xDA", "Люк"},
    {"Arabic", "ISO_IR 127", "PN", "\xE2\xC8\xC7\xE6\xEA", "قباني"},
    {"Greek", "ISO_IR 126", "PN", "\xC4\xE9\xEF\xED\xF5\xF3\xE9\xEF\xF2", "Διονυσιος"},
    {"Hebrew", "ISO_IR 138", "PN", "\xF9\xF8\xE5\xEF", "שרון"},
    {"Latin 5", "ISO_IR 148", "PN", "\xC7\xE7\xF0", "Ççğ"},
    {"Latin 9", "ISO_IR 203", "LO", "\xA4", "€"},
    {"Thai", "ISO_IR 166", "LO", "\xA1\xD2", "กา"},
    {"UTF-8", "ISO_IR 192", "PN", "Wang^XiaoDong=\xE7\x8E\x8B^\xE5\xB0\x8F\xE4\xB8\x9C",
     "Wang^XiaoDong=王^小东"},
    {"UTF-8 broken", "ISO_IR 192", "LO", "a\xE7\x8E-\xC0z", "a\uFFFD\uFFFD-\uFFFDz"},
    {"GB18030", "GB18030", "PN", "Wang^XiaoDong=\xCD\xF5^\xD0\xA1\xB6\xAB",
     "Wang^XiaoDong=王^小东"},
    {"GBK with a backslash as second byte", "GBK", "LO", "\x81\x5C\\a", "乗\\a"},
    {"katakana", "ISO_IR 13", "PN", "\xD4\xCF\xC0\xDE^\xC0\xDB\xB3", "ﾔﾏﾀﾞ^ﾀﾛｳ"},
    {"H.3.1", "\\ISO 2022 IR 87", "PN",
     "Yamada^Tarou=\x1B$B;3ED\x1B(B^\x1B$BB@O:\x1B(B=\x1B$B$d$^$@\x1B(B^\x1B$B$?$m$&\x1B(B",
     "Yamada^Tarou=山田^太郎=やまだ^たろう"},
    {"H.3.2", "ISO 2022 IR 13\\ISO 2022 IR 87", "PN",
     "\xD4\xCF\xC0\xDE^\xC0\xDB\xB3=\x1B$B;3ED\x1B(J^\x1B$BB@O:\x1B(J", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎"},
    {"JIS X 0212", "\\ISO 2022 IR 159", "LO", "\x1B$(D\x30\x21\x1B(B", "丂"},
    {"I.2", "\\ISO 2022 IR 149", "PN",
     "Hong^Gildong=\x1B$)C\xFB\xF3^\x1B$)C\xD1\xCE\xD4\xD7=\x1B$)C\xC8\xAB^\x1B$)C\xB1\xE6\xB5\xBF",
     "Hong^Gildong=洪^吉洞=홍^길동"},
    {"Korean without the escape sequence again", "\\ISO 2022 IR 149", "PN",
     "\x1B$)C\xC8\xAB^\xB1\xE6\xB5\xBF", "홍^길동"},
    {"K.2", "\\ISO 2022 IR 58", "PN", "Zhang^XiaoDong=\x1B$)A\xD5\xC5^\x1B$)A\xD0\xA1\xB6\xAB",
     "Zhang^XiaoDong=张^小东"},
    {"several sets", "ISO 2022 IR 100\\ISO 2022 IR 144\\ISO 2022 IR 126", "LO",
     "\xE9 \x1B-L\xBB\\\xE9 \x1B-F\xC4", "é Л\\é Δ"},
    {"back to value 1 at a line's end", "ISO 2022 IR 100\\ISO 2022 IR 144", "LT",
     "\x1B-L\xBB\r\n\xE9", "Л\r\né"},
    {"a caret ends nothing in LO", "ISO 2022 IR 100\\ISO 2022 IR 144", "LO", "\x1B-L\xBB^\xBB",
     "Л^Л"},
    {"misspelt", "ISO IR 100", "LO", "\xE9", "é"},
    {"misspelt", "ISO-IR 100", "LO", "\xE9", "é"},
    {"misspelt", "latin1", "LO", "\xE9", "é"},
    {"misspelt", "ISO 2022 100", "LO", "\xE9", "é"},
    {"misspelt", "utf-8", "LO", "\xC3\xA9", "é"},
    {"undeclared UTF-8", "", "LO", "\xC3\xA9", "é"},
    {"undeclared Latin 1", "", "LO", "\xE9", "é"},
    {"a code is not text", "ISO_IR 144", "CS", "\xE9", "é"},
    {"unknown escape sequence", "ISO 2022 IR 100", "LO", "a\x1B!b", "a!b"},
    {"half a character", "\\ISO 2022 IR 87", "LO", "\x1B$B;", "\uFFFD"},
    {"yen in prose", "ISO_IR 13", "ST", "\x5C\xC0", "¥ﾀ"},
};

static void test_decode(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const charset_case_t *row = &cases[i];
        AUTO_BUFFER text = {0};
        dicom_charset_t *charset = dicom_charset_open(row->charset, strlen(row->charset));
        for (int again = 0; again < 2; again++) { /* nothing is left over from the value before */
            buffer_clear(&text);
            dicom_charset_decode(charset, DICOM_VR(row->vr[0], row->vr[1]),
                                 (const uint8_t *)row->bytes, strlen(row->bytes), &text);
            if (strcmp(buffer_text(&text), row->text) != 0)
                fail_msg("%s (%s): \"%s\", not \"%s\"", row->name, row->charset, buffer_text(&text),
                         row->text);
        }
        dicom_charset_close(&charset);
        assert_null(charset);
    }
}

static void test_open_takes_nothing(void **state)
{
    (void)state;
    dicom_charset_t *charset = dicom_charset_open(NULL, 0);
    AUTO_BUFFER text = {0};
    dicom_charset_decode(charset, DICOM_VR('L', 'O'), (const uint8_t *)"a", 1, &text);
    assert_string_equal(buffer_text(&text), "a");
    dicom_charset_close(&charset);
    dicom_charset_close(&charset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_open_takes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
