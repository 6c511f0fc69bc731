#include "support.h"

#include "index/dataset/fold.h"

static void test_fold(void **state)
{
    (void)state;
    static const struct {
        const char *name, *from, *to;
    } cases[] = {
        {"ASCII", "Doe John", "doe john"},
        {"umlaut", "MÜLLER", "muller"},
        {"sharp s", "Groß", "gross"},
        {"ligature", "Ærø", "aero"},
        {"Polish", "Łódź", "lodz"},
        {"Vietnamese", "Nguyễn", "nguyen"},
        {"Turkish dotless", "Işık", "isik"},
        {"decomposed", "e\xCC\x81", "e"},
        {"Greek", "Διονυσιος Άννα", "διονυσιοσ αννα"},
        {"Cyrillic", "Люкceмбypг Ёлкин", "люкceмбypг елкин"},
        {"Ukrainian", "Їжак", "іжак"},
        {"Japanese stays", "山田^太郎", "山田^太郎"},
        {"Korean stays", "김희중", "김희중"},
        {"Arabic stays", "قباني", "قباني"},
        {"full width", "ＡＢＣ　１", "abc 1"},
        {"broken UTF-8",
         "a\xFF"
         "b\xC3",
         "ab"},
        {"beyond the BMP", "\xF0\xA0\xAE\xB7", "\xF0\xA0\xAE\xB7"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_BUFFER out = {0};
        fold_append(&out, cases[i].from, strlen(cases[i].from));
        if (strcmp(buffer_text(&out), cases[i].to) != 0)
            fail_msg("%s: \"%s\" instead of \"%s\"", cases[i].name, buffer_text(&out), cases[i].to);
    }
}

static void test_fold_name(void **state)
{
    (void)state;
    static const struct {
        const char *name, *from, *to;
    } cases[] = {
        {"empty components", "DOE^JOHN^^^", "doe^john"},
        {"blanks", " DOE ^ JOHN ", "doe^john"},
        {"blank within", "VAN DER BERG^A", "van der berg^a"},
        {"only carets", "^^", ""},
        {"first empty", "^JOHN", "^john"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_BUFFER out = {0};
        fold_append_name(&out, cases[i].from, strlen(cases[i].from));
        if (strcmp(buffer_text(&out), cases[i].to) != 0)
            fail_msg("%s: \"%s\" instead of \"%s\"", cases[i].name, buffer_text(&out), cases[i].to);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fold),
        cmocka_unit_test(test_fold_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
