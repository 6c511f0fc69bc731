/* What the dataset before said is copied; the JSON is what it is without. */
#include "dicom/json_repeat.h"

#include "dataset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define E EXPLICIT_LITTLE

typedef void put_t(buffer_t *out);

/* ---- datasets -------------------------------------------------------------------------------- */

static void put_image(buffer_t *out, const char *charset, const char *number)
{
    if (charset)
        put_text(out, E, 0x00080005, "CS", charset);
    put_text(out, E, 0x00080018, "UI", number);
    put_text(out, E, 0x00100010, "PN", "Jos\xE9");
    put_text(out, E, 0x00200013, "IS", number);
    put_text(out, E, 0x00281050, "DS", "40.0\\400");
}

static void first(buffer_t *out)
{
    put_image(out, "ISO_IR 100", "1");
}

static void second(buffer_t *out)
{
    put_image(out, "ISO_IR 100", "2");
}

static void cyrillic(buffer_t *out)
{
    put_image(out, "ISO_IR 144", "2");
}

static void of_no_charset(buffer_t *out)
{
    put_image(out, NULL, "2");
}

static void with_more(buffer_t *out)
{
    put_text(out, E, 0x00080005, "CS", "ISO_IR 100");
    put_text(out, E, 0x00080008, "CS", "DERIVED");
    put_text(out, E, 0x00080018, "UI", "1");
    put_text(out, E, 0x00281050, "DS", "40.0\\400");
}

static void of_falling_tags(buffer_t *out)
{
    put_text(out, E, 0x00281050, "DS", "40.0\\400");
    first(out);
}

static void of_one_tag_twice(buffer_t *out)
{
    first(out);
    put_text(out, E, 0x00281050, "DS", "41");
}

static void put_sequence(buffer_t *out, uint32_t length, const char *text)
{
    AUTO_BUFFER item = {0};
    put_text(&item, E, 0x00080100, "SH", text);
    put_header(out, E, 0x00081032, "SQ",
               length == NO_LENGTH ? NO_LENGTH : (uint32_t)(item.length + 8));
    put_item(out, E, ITEM_TAG, (uint32_t)item.length);
    buffer_append(out, item.data, item.length);
    if (length == NO_LENGTH)
        put_item(out, E, SEQUENCE_END_TAG, 0);
}

static void with_sequence(buffer_t *out)
{
    put_sequence(out, 0, "CODE");
    put_text(out, E, 0x00200013, "IS", "1");
}

static void with_open_sequence(buffer_t *out)
{
    put_sequence(out, NO_LENGTH, "CODE");
    put_text(out, E, 0x00200013, "IS", "1");
}

static void with_other_sequence(buffer_t *out)
{
    put_sequence(out, NO_LENGTH, "EDOC");
    put_text(out, E, 0x00200013, "IS", "1");
}

static void with_cut_sequence(buffer_t *out)
{
    put_sequence(out, NO_LENGTH, "CODE");
    out->length -= 8; /* its end is missing, and may come */
}

static void with_bulk(buffer_t *out)
{
    put_bytes(out, E, 0x00291010, "OB", "0123456789abcdef0123456789abcdef", 32);
}

static void put_signed(buffer_t *out, uint16_t sign)
{
    put_us(out, E, 0x00280103, sign);
    put_bytes(out, E, 0x00280106, "UN", "\xFF\xFF", 2); /* US or SS: goes by the sign */
    put_text(out, E, 0x00281050, "DS", "40");
}

static void of_unsigned(buffer_t *out)
{
    put_signed(out, 0);
}

static void of_signed(buffer_t *out)
{
    put_signed(out, 1);
}

static void of_nothing(buffer_t *out)
{
    (void)out;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static const dicom_json_options_t plain = {.bulk_data_uri = "/b", .inline_max = 16};

static void write_one(put_t *put, const char *uri, dicom_json_repeat_t *repeat, buffer_t *out)
{
    AUTO_BUFFER dataset = {0};
    dicom_json_options_t options = plain;
    options.bulk_data_uri = uri;
    options.repeat = repeat;
    put(&dataset);
    (void)buffer_text(&dataset); /* no NULL */
    assert_int_equal(
        dicom_json_write(dataset.data, dataset.length, DICOM_EXPLICIT_LITTLE, &options, out),
        STATUS_OK);
}

static void says_what_it_says_alone(void **state)
{
    (void)state;
    static put_t *const all[] = {first,
                                 second,
                                 cyrillic,
                                 of_no_charset,
                                 with_more,
                                 of_falling_tags,
                                 of_one_tag_twice,
                                 with_sequence,
                                 with_open_sequence,
                                 with_other_sequence,
                                 with_cut_sequence,
                                 with_bulk,
                                 of_unsigned,
                                 of_signed,
                                 of_nothing};
    enum { COUNT = sizeof all / sizeof *all };
    for (size_t i = 0; i < COUNT * COUNT; i++) {
        dicom_json_repeat_t *repeat = dicom_json_repeat_create();
        AUTO_BUFFER out = {0};
        AUTO_BUFFER want = {0};
        write_one(all[i / COUNT], "/one", repeat, &out);
        buffer_append_byte(&out, ',');
        write_one(all[i % COUNT], "/two", repeat, &out);
        write_one(all[i / COUNT], "/one", NULL, &want);
        buffer_append_byte(&want, ',');
        write_one(all[i % COUNT], "/two", NULL, &want);
        assert_string_equal(buffer_text(&out), buffer_text(&want));
        dicom_json_repeat_destroy(&repeat);
    }
}

/* What comes next is taken from the dataset before, and what is another's is not. */
static void finds_what_is_the_same(void **state)
{
    static const struct {
        const char *name;
        put_t *before, *now;
        size_t offset; /* in `now` */
        bool is_found;
    } cases[] = {
        {"the same element", first, first, 18, true},
        {"another value", first, second, 18, false},
        {"the character set itself", first, first, 0, false},
        {"a sequence", with_sequence, with_sequence, 0, true},
        {"one of no length", with_open_sequence, with_open_sequence, 0, true},
        {"one that is cut", with_cut_sequence, with_open_sequence, 0, false},
        {"bulk data", with_bulk, with_bulk, 0, false},
        {"tags that fall", of_falling_tags, of_falling_tags, 0, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dicom_json_repeat_t *repeat = dicom_json_repeat_create();
        AUTO_BUFFER json = {0};
        AUTO_BUFFER dataset = {0};
        dicom_reader_t reader;
        dicom_token_t token;
        const uint8_t *text = NULL;
        write_one(cases[i].before, "/one", repeat, &json);
        cases[i].now(&dataset);
        dicom_reader_init(&reader, dataset.data, dataset.length,
                          dicom_transfer_syntax_find(DICOM_EXPLICIT_LITTLE));
        dicom_json_repeat_begin(repeat, &reader);
        while (reader.position < cases[i].offset) {
            assert_int_equal(dicom_reader_next(&reader, &token), STATUS_OK);
            dicom_json_repeat_note(repeat, &reader, &token);
        }
        bool is_found = dicom_json_repeat_find(repeat, &reader, &text) != NULL;
        if (is_found != cases[i].is_found)
            fail_msg("%s: %s", cases[i].name, is_found ? "found" : "not found");
        dicom_json_repeat_destroy(&repeat);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_it_says_alone),
        cmocka_unit_test(finds_what_is_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
