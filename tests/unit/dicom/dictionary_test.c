#include "dicom/dictionary.h"
#include "dicom/reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void test_by_tag(void **state)
{
    (void)state;
    static const struct {
        uint32_t tag;
        const char *vr, *keyword; /* NULL: no row */
    } cases[] = {
        {0x00100010, "PN", "PatientName"},
        {0x00080018, "UI", "SOPInstanceUID"},
        {0x7FE00010, "OW", "PixelData"},
        {0x00280106, "US", "SmallestImagePixelValue"},
        {0x00280010, "US", "Rows"},
        {0x60000010, "US", "OverlayRows"},
        {0x601E3000, "OW", "OverlayData"},
        {0x60010010, "LO", "PrivateCreator"},
        {0x50FE3000, "OW", "CurveData"},
        {0x00203105, "CS", "SourceImageIDs"},
        {0x00280000, "UL", "GenericGroupLength"},
        {0x00290000, "UL", "GenericGroupLength"},
        {0x00290010, "LO", "PrivateCreator"},
        {0x002900FF, "LO", "PrivateCreator"},
        {0x00291010, NULL, NULL},
        {0x0029000F, NULL, NULL},
        {0x00100011, NULL, NULL},
        {0xFFFFFFFF, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const dicom_attribute_t *row = dicom_dictionary_by_tag(cases[i].tag);
        assert_int_equal(row != NULL, cases[i].vr != NULL);
        if (!row)
            continue;
        assert_int_equal(row->vr, DICOM_VR(cases[i].vr[0], cases[i].vr[1]));
        assert_string_equal(row->keyword, cases[i].keyword);
    }
}

static void test_from_text(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t tag; /* 0: refused */
    } cases[] = {
        {"PatientName", 0x00100010},
        {"00100010", 0x00100010},
        {"0010,0010", 0x00100010},
        {"7fe00010", 0x7FE00010},
        {"60003000", 0x60003000},
        {"OverlayData", 0x60003000},
        {"SelectorATValue", 0x00720060},
        {"patientname", 0},
        {"PatientNam", 0},
        {"PatientNamee", 0},
        {"0010001", 0},
        {"001000100", 0},
        {"0010-0010", 0},
        {"(0010,0010)", 0},
        {"00,100010", 0},
        {"", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t tag = 0;
        assert_int_equal(dicom_tag_from_text(cases[i].text, &tag), cases[i].tag != 0);
        assert_int_equal(tag, cases[i].tag);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_tag),
        cmocka_unit_test(test_from_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
