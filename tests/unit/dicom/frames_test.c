#include "dicom/frames.h"

#include "dataset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define JPEG_BASELINE "1.2.840.10008.1.2.4.50"

static void put_image(buffer_t *out, encoding_t encoding, const char *photometric,
                      const char *frames, uint16_t bits)
{
    put_us(out, encoding, 0x00280002, strncmp(photometric, "MONO", 4) == 0 ? 1 : 3);
    put_text(out, encoding, 0x00280004, "CS", photometric);
    if (frames)
        put_text(out, encoding, 0x00280008, "IS", frames);
    put_us(out, encoding, 0x00280010, 3);
    put_us(out, encoding, 0x00280011, 2);
    put_us(out, encoding, 0x00280100, bits);
}

static void test_native(void **state)
{
    (void)state;
    static const struct {
        const char *name, *photometric, *frames;
        uint16_t bits;
        size_t length;
        status_t status;
        size_t starts[3], lengths[3]; /* of the frames, from the value's first byte */
    } cases[] = {
        {"one frame", "MONOCHROME2", NULL, 16, 12, STATUS_OK, {0}, {12}},
        {"two", "MONOCHROME2", "2", 16, 24, STATUS_OK, {0, 12}, {12, 12}},
        {"colour", "RGB", "2", 8, 36, STATUS_OK, {0, 18}, {18, 18}},
        {"subsampled", "YBR_FULL_422", "2", 8, 24, STATUS_OK, {0, 12}, {12, 12}},
        {"bits", "MONOCHROME2", "3", 1, 4, STATUS_OK, {0, 0, 1}, {1, 2, 2}},
        {"more than needed", "MONOCHROME2", "1", 16, 14, STATUS_OK, {0}, {12}},
        {"less than needed", "MONOCHROME2", "2", 16, 20, STATUS_INVALID, {0}, {0}},
        {"no bits", "MONOCHROME2", "1", 0, 12, STATUS_INVALID, {0}, {0}},
        {"empty", "MONOCHROME2", "1", 16, 0, STATUS_NOT_FOUND, {0}, {0}},
        {"too many", "MONOCHROME2", "999999999999", 16, 12, STATUS_TOO_LARGE, {0}, {0}},
    };
    static const uint8_t pixels[64];
    for (encoding_t encoding = IMPLICIT_LITTLE; encoding <= EXPLICIT_BIG; encoding++) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            AUTO_BUFFER bytes = {0};
            put_image(&bytes, encoding, cases[i].photometric, cases[i].frames, cases[i].bits);
            put_bytes(&bytes, encoding, 0x7FE00010, "OW", pixels, cases[i].length);
            size_t value = bytes.length - cases[i].length;
            dicom_frames_t *frames = NULL;
            status_t status =
                dicom_frames_locate(bytes.data, bytes.length, syntax_of(encoding), &frames);
            if (status != cases[i].status)
                fail_msg("%s: %s %s", cases[i].name, status_name(status), fail_detail());
            if (status != STATUS_OK)
                continue;
            assert_false(frames->encapsulated);
            assert_int_equal(frames->word, encoding == EXPLICIT_BIG ? 2 : 1); /* bits in OW, too */
            assert_int_equal(frames->pixel_value_length, cases[i].length);
            assert_int_equal(frames->pixel_value_offset, value);
            for (uint32_t k = 0; k < frames->frame_count; k++) {
                assert_int_equal(frames->spans[k].offset, value + cases[i].starts[k]);
                assert_int_equal(frames->spans[k].length, cases[i].lengths[k]);
            }
            dicom_frames_destroy(&frames);
        }
    }
}

static void test_native_cut(void **state)
{
    (void)state;
    AUTO_BUFFER bytes = {0};
    put_image(&bytes, EXPLICIT_LITTLE, "MONOCHROME2", "3", 16);
    put_bytes(&bytes, EXPLICIT_LITTLE, 0x7FE00010, "OW", (const uint8_t[36]){0}, 36);
    size_t value = bytes.length - 36;
    bytes.length = value + 20;
    dicom_frames_t *frames = NULL;
    assert_int_equal(dicom_frames_locate(bytes.data, bytes.length, DICOM_EXPLICIT_LITTLE, &frames),
                     STATUS_OK);
    static const size_t lengths[] = {12, 8, 0};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(frames->spans[i].length, lengths[i]);
    dicom_frames_destroy(&frames);
}

/* Fragments as text: a letter each, with the length and markers of a codestream. */
static void put_fragment(buffer_t *out, char kind)
{
    static const struct {
        char kind;
        const char *bytes;
        size_t length;
    } kinds[] = {
        {'W', "\xFF\xD8\xFF\xE0\x31\x32\x33\x34\xFF\xD9", 10}, /* a whole image */
        {'B', "\xFF\xD8\xFF\xE0\x31\x32\x33\x34", 8},          /* its beginning */
        {'M', "123456", 6},                                    /* middle */
        {'X', "\xFF\xD8\x00\xD9", 4},                          /* middle that looks a bit like it */
        {'D', "12\xFF\xD9", 4},                                /* end */
        {'P', "12\xFF\xD9\x00\x00", 6},                        /* end with padding */
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (kinds[i].kind != kind)
            continue;
        put_item(out, EXPLICIT_LITTLE, ITEM_TAG, (uint32_t)kinds[i].length);
        buffer_append(out, kinds[i].bytes, kinds[i].length);
    }
}

static void test_encapsulated(void **state)
{
    (void)state;
    static const struct {
        const char *name, *frames, *fragments;
        uint32_t basic[4]; /* offsets, basic_count of them */
        size_t basic_count;
        uint64_t extended[2]; /* offsets */
        size_t extended_count;
        status_t status;
        uint32_t first[4]; /* fragment of each frame's beginning, then the count of fragments */
    } cases[] = {
        {"one fragment", NULL, "W", {0}, 0, {0}, 0, STATUS_OK, {0, 1}},
        {"one frame, many fragments", "1", "BMD", {0}, 0, {0}, 0, STATUS_OK, {0, 3}},
        {"one each", "3", "WWW", {0}, 0, {0}, 0, STATUS_OK, {0, 1, 2, 3}},
        {"one each, no markers", "2", "MM", {0}, 0, {0}, 0, STATUS_OK, {0, 1, 2}},
        {"basic table", "2", "BMMM", {0, 30}, 2, {0}, 0, STATUS_OK, {0, 2, 4}},
        {"basic table over one each", "2", "BD", {0, 16}, 2, {0}, 0, STATUS_OK, {0, 1, 2}},
        {"basic table that is wrong", "2", "BDBP", {0, 5}, 2, {0}, 0, STATUS_OK, {0, 2, 4}},
        {"basic table that is short", "2", "BDBP", {0}, 1, {0}, 0, STATUS_OK, {0, 2, 4}},
        {"extended table", "2", "WW", {0}, 0, {0, 18}, 2, STATUS_OK, {0, 1, 2}},
        {"end markers", "2", "BMDBP", {0}, 0, {0}, 0, STATUS_OK, {0, 3, 5}},
        {"end markers, and what looks like them",
         "2",
         "BXDBMP",
         {0},
         0,
         {0},
         0,
         STATUS_OK,
         {0, 3, 6}},
        {"start markers only", "2", "BMBM", {0}, 0, {0}, 0, STATUS_OK, {0, 2, 4}},
        {"nothing to go by", "2", "MMMM", {0}, 0, {0}, 0, STATUS_INVALID, {0}},
        {"too few fragments", "3", "WW", {0}, 0, {0}, 0, STATUS_INVALID, {0}},
        {"no fragment", "1", "", {0}, 0, {0}, 0, STATUS_INVALID, {0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_BUFFER bytes = {0};
        put_image(&bytes, EXPLICIT_LITTLE, "MONOCHROME2", cases[i].frames, 8);
        if (cases[i].extended_count)
            put_bytes(&bytes, EXPLICIT_LITTLE, 0x7FE00001, "OV", cases[i].extended,
                      8 * cases[i].extended_count);
        put_header(&bytes, EXPLICIT_LITTLE, 0x7FE00010, "OB", NO_LENGTH);
        put_item(&bytes, EXPLICIT_LITTLE, ITEM_TAG, (uint32_t)(4 * cases[i].basic_count));
        buffer_append(&bytes, cases[i].basic, 4 * cases[i].basic_count);
        for (const char *kind = cases[i].fragments; *kind; kind++)
            put_fragment(&bytes, *kind);
        put_item(&bytes, EXPLICIT_LITTLE, SEQUENCE_END_TAG, 0);
        dicom_frames_t *frames = NULL;
        status_t status = dicom_frames_locate(bytes.data, bytes.length, JPEG_BASELINE, &frames);
        if (status != cases[i].status)
            fail_msg("%s: %s %s", cases[i].name, status_name(status), fail_detail());
        if (status != STATUS_OK)
            continue;
        assert_true(frames->encapsulated);
        for (uint32_t k = 0; k <= frames->frame_count; k++)
            if (frames->frame_first[k] != cases[i].first[k])
                fail_msg("%s: frame %u begins at fragment %u", cases[i].name, k,
                         frames->frame_first[k]);
        dicom_frames_destroy(&frames);
    }
}

static void test_no_pixels(void **state)
{
    (void)state;
    AUTO_BUFFER bytes = {0};
    put_image(&bytes, EXPLICIT_LITTLE, "MONOCHROME2", "1", 8);
    dicom_frames_t *frames = NULL;
    assert_int_equal(dicom_frames_locate(bytes.data, bytes.length, DICOM_EXPLICIT_LITTLE, &frames),
                     STATUS_NOT_FOUND);
    assert_null(frames);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_native),
        cmocka_unit_test(test_native_cut),
        cmocka_unit_test(test_encapsulated),
        cmocka_unit_test(test_no_pixels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
