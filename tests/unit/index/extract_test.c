#include "support.h"

#include "index/dataset/extract.h"

static extract_t extract;

static int teardown(void **state)
{
    (void)state;
    extract_destroy(&extract);
    memset(&extract, 0, sizeof extract);
    return 0;
}

static status_t run(const buffer_t *dataset)
{
    return extract_dataset(dataset->data, dataset->length, DICOM_EXPLICIT_LITTLE, &extract);
}

static void test_fragments_and_values(void **state)
{
    (void)state;
    static const sample_t sample = {.sop = "1.2.3",
                                    .study = "1.2",
                                    .series = "1.2.0",
                                    .name = "Müller^Jürgen",
                                    .patient_id = " P,\"1} ",
                                    .date = "2020.01.02",
                                    .time = "10:20:30",
                                    .modality = "CT",
                                    .number = " +7 ",
                                    .description = "Gro\xC3\x9F"};
    AUTO_BUFFER dataset = {0};
    dataset_make(&dataset, &sample);
    assert_int_equal(run(&dataset), STATUS_OK);
    assert_string_equal(extract_text_of(&extract, 0x00080020), "20200102");
    assert_string_equal(extract_text_of(&extract, 0x00080030), "102030000000");
    assert_string_equal(extract_text_of(&extract, 0x00081030), "gross");
    assert_string_equal(extract_text_of(&extract, 0x00100020), "P,\"1}");
    assert_string_equal(extract_text_of(&extract, 0x00100010), "Müller^Jürgen");
    assert_int_equal(extract.values[attribute_find(0x00200013) - attributes].number, 7);
    assert_int_equal(extract.values[attribute_find(0x00280010) - attributes].number, 512);
    /* A line per attribute, each a whole member, whatever its value holds. */
    const char *study = buffer_text(&extract.fragments[LEVEL_STUDY]);
    assert_non_null(strstr(study, "\"00100020\":{\"vr\":\"LO\",\"Value\":[\"P,\\\"1}\"]}\n"));
    assert_non_null(strstr(study, "\n\"00081030\":{\"vr\":\"LO\",\"Value\":[\"Gro\xC3\x9F\"]}\n"));
    assert_null(strstr(study, "00080060"));
    assert_non_null(strstr(buffer_text(&extract.fragments[LEVEL_SERIES]), "\"00080060\""));
    assert_non_null(strstr(buffer_text(&extract.fragments[LEVEL_INSTANCE]), "\"00280010\""));
}

/* (0040,0275) holds keys of its own; the same tags elsewhere are something else. */
static void test_nested_keys(void **state)
{
    (void)state;
    AUTO_BUFFER item = {0}, dataset = {0};
    text_put(&item, 0x00400009, "SH", "STEP1");
    text_put(&item, 0x00401001, "SH", "PROC1");
    static const uint8_t begin[] = {0x40, 0x00, 0x75, 0x02, 'S',  'Q',  0,    0,    0xFF, 0xFF,
                                    0xFF, 0xFF, 0xFE, 0xFF, 0x00, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF};
    static const uint8_t end[] = {0xFE, 0xFF, 0x0D, 0xE0, 0, 0, 0, 0,
                                  0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0};
    buffer_append(&dataset, begin, sizeof begin);
    buffer_append(&dataset, item.data, item.length);
    buffer_append(&dataset, end, sizeof end);
    text_put(&dataset, 0x00401001, "SH", "TOPLEVEL");
    assert_int_equal(run(&dataset), STATUS_OK);
    assert_string_equal(extract_text_of(&extract, 0x00400009), "STEP1");
    assert_string_equal(extract_text_of(&extract, 0x00401001), "PROC1");
    assert_non_null(strstr(buffer_text(&extract.fragments[LEVEL_SERIES]), "\"STEP1\""));
}

/* The JSON of a dataset has the last of doubled tags: searched is what is shown. */
static void test_of_doubled_tags_the_last_counts(void **state)
{
    (void)state;
    static const uint8_t begin[] = {0x40, 0x00, 0x75, 0x02, 'S',  'Q',  0,    0,
                                    0xFF, 0xFF, 0xFF, 0xFF, 0xFE, 0xFF, 0x00, 0xE0};
    static const uint8_t between[] = {0xFE, 0xFF, 0x00, 0xE0, 10, 0, 0, 0};
    static const uint8_t end[] = {0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0};
    static const char *const steps[] = {"OLD", "NEW"};
    AUTO_BUFFER dataset = {0};
    text_put(&dataset, 0x00100020, "LO", "FIRST");
    text_put(&dataset, 0x00100020, "LO", "LAST");
    text_put(&dataset, 0x00080020, "DA", "20200101");
    text_put(&dataset, 0x00080020, "DA", "never");
    for (size_t i = 0; i < 2; i++) {
        buffer_append(&dataset, begin, sizeof begin);
        buffer_append(&dataset, "\x16\0\0\0", 4);
        text_put(&dataset, 0x00400009, "SH", "A");
        text_put(&dataset, 0x00400009, "SH", steps[i]);
        buffer_append(&dataset, between, sizeof between);
        text_put(&dataset, 0x00400009, "SH", "B");
        buffer_append(&dataset, end, sizeof end);
    }
    assert_int_equal(run(&dataset), STATUS_OK);
    assert_string_equal(extract_text_of(&extract, 0x00100020), "LAST");
    assert_string_equal(extract_text_of(&extract, 0x00080020), "");
    assert_string_equal(extract_text_of(&extract, 0x00400009), "NEW"); /* of items the first */
    assert_non_null(strstr(buffer_text(&extract.fragments[LEVEL_STUDY]), "[\"LAST\"]"));
    assert_null(strstr(buffer_text(&extract.fragments[LEVEL_STUDY]), "FIRST"));
}

static void test_bad_values_are_left_out(void **state)
{
    (void)state;
    AUTO_BUFFER dataset = {0};
    text_put(&dataset, 0x00080020, "DA", "20201399");
    text_put(&dataset, 0x00080030, "TM", "noon");
    text_put(&dataset, 0x00200013, "IS", "seven");
    element_put(&dataset, 0x00280010, "UL", "\x00\x02\x00\x00", 4); /* Rows is US */
    assert_int_equal(run(&dataset), STATUS_OK);
    static const uint32_t tags[] = {0x00080020, 0x00080030, 0x00200013, 0x00280010};
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        assert_false(extract.values[attribute_find(tags[i]) - attributes].known);
}

static void test_long_values(void **state)
{
    (void)state;
    AUTO_BUFFER dataset = {0}, text = {0};
    for (int i = 0; i < 30000; i++)
        buffer_append_byte(&text, 'x');
    text_put(&dataset, 0x00081030, "LO", buffer_text(&text));
    text_put(&dataset, 0x00100020, "LO", "P1");
    assert_int_equal(run(&dataset), STATUS_OK);
    assert_int_equal(strlen(extract_text_of(&extract, 0x00081030)), EXTRACT_TEXT_MAX);
    assert_null(strstr(buffer_text(&extract.fragments[LEVEL_STUDY]), "xxxx"));
    assert_string_equal(extract_text_of(&extract, 0x00100020), "P1");
}

/* All that a hostile dataset can put into one answer fits a message. */
static void test_fragments_are_bounded(void **state)
{
    (void)state;
    static const uint32_t tags[] = {0x00080050, 0x00080201, 0x00100020, 0x00100021,
                                    0x00100040, 0x00101000, 0x00200010};
    AUTO_BUFFER dataset = {0}, text = {0};
    for (int i = 0; i < 15000; i++)
        buffer_append_byte(&text, 'x');
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        text_put(&dataset, tags[i], "LO", buffer_text(&text));
    assert_int_equal(run(&dataset), STATUS_OK);
    assert_true(extract.fragments[LEVEL_STUDY].length > 15000);
    assert_true(extract.fragments[LEVEL_STUDY].length <= EXTRACT_FRAGMENT_MAX);
}

static void test_broken_dataset_gives_nothing(void **state)
{
    (void)state;
    AUTO_BUFFER dataset = {0};
    text_put(&dataset, 0x00100020, "LO", "P1");
    /* A sequence of 8 bytes with an item of 256. */
    static const uint8_t broken[] = {0x40, 0x00, 0x75, 0x02, 'S',  'Q',  0, 0, 8, 0,
                                     0,    0,    0xFE, 0xFF, 0x00, 0xE0, 0, 1, 0, 0};
    buffer_append(&dataset, broken, sizeof broken);
    text_put(&dataset, 0x00401001, "SH", "PROC1");
    assert_int_not_equal(run(&dataset), STATUS_OK);
    assert_string_equal(extract_text_of(&extract, 0x00100020), "");
    assert_int_equal(extract.fragments[LEVEL_STUDY].length, 0);
    assert_int_not_equal(
        extract_dataset((const uint8_t *)"no deflate stream", 17, DICOM_DEFLATED_LITTLE, &extract),
        STATUS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_fragments_and_values, teardown),
        cmocka_unit_test_teardown(test_nested_keys, teardown),
        cmocka_unit_test_teardown(test_of_doubled_tags_the_last_counts, teardown),
        cmocka_unit_test_teardown(test_bad_values_are_left_out, teardown),
        cmocka_unit_test_teardown(test_long_values, teardown),
        cmocka_unit_test_teardown(test_fragments_are_bounded, teardown),
        cmocka_unit_test_teardown(test_broken_dataset_gives_nothing, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
