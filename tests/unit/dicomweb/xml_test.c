#include "dicomweb/form/xml.h"

#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define HEAD                                                                                       \
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<NativeDicomModel xml:space=\"preserve\""         \
    " xmlns=\"http://dicom.nema.org/PS3.19/models/NativeDICOM\">"
#define END "</NativeDicomModel>\n"

static const struct {
    const char *name, *json, *xml;
} cases[] = {
    {"nothing", "{}", ""},
    {"text", "{\"00080060\":{\"vr\":\"CS\",\"Value\":[\"CT\"]}}",
     "<DicomAttribute tag=\"00080060\" vr=\"CS\" keyword=\"Modality\"><Value "
     "number=\"1\">CT</Value>"
     "</DicomAttribute>"},
    {"empty", "{\"00080060\":{\"vr\":\"CS\"}}",
     "<DicomAttribute tag=\"00080060\" vr=\"CS\" keyword=\"Modality\"></DicomAttribute>"},
    {"a gap keeps the numbers", "{\"00080008\":{\"vr\":\"CS\",\"Value\":[\"A\",null,\"<&>\"]}}",
     "<DicomAttribute tag=\"00080008\" vr=\"CS\" keyword=\"ImageType\"><Value "
     "number=\"1\">A</Value>"
     "<Value number=\"3\">&lt;&amp;&gt;</Value></DicomAttribute>"},
    {"numbers", "{\"00280030\":{\"vr\":\"DS\",\"Value\":[0.1,-3]}}",
     "<DicomAttribute tag=\"00280030\" vr=\"DS\" keyword=\"PixelSpacing\"><Value number=\"1\">0.1"
     "</Value><Value number=\"2\">-3</Value></DicomAttribute>"},
    {"name", "{\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"Doe^Jane^^Dr\"}]}}",
     "<DicomAttribute tag=\"00100010\" vr=\"PN\" keyword=\"PatientName\"><PersonName number=\"1\">"
     "<Alphabetic><FamilyName>Doe</FamilyName><GivenName>Jane</GivenName><NamePrefix>Dr"
     "</NamePrefix></Alphabetic></PersonName></DicomAttribute>"},
    {"bulk", "{\"7FE00010\":{\"vr\":\"OW\",\"BulkDataURI\":\"http://h/a?b&c\"}}",
     "<DicomAttribute tag=\"7FE00010\" vr=\"OW\" keyword=\"PixelData\"><BulkData"
     " uri=\"http://h/a?b&amp;c\"/></DicomAttribute>"},
    {"private",
     "{\"00090010\":{\"vr\":\"LO\",\"Value\":[\"ACME\"]},\"00091002\":{\"vr\":\"OB\","
     "\"InlineBinary\":\"AAE=\"}}",
     "<DicomAttribute tag=\"00090010\" vr=\"LO\"><Value number=\"1\">ACME</Value></DicomAttribute>"
     "<DicomAttribute tag=\"00090002\" vr=\"OB\" privateCreator=\"ACME\"><InlineBinary>AAE="
     "</InlineBinary></DicomAttribute>"},
    {"sequence",
     "{\"00081140\":{\"vr\":\"SQ\",\"Value\":[{\"00081155\":{\"vr\":\"UI\",\"Value\":[\"1.2\"]}},{}"
     "]},"
     "\"00100020\":{\"vr\":\"LO\",\"Value\":[\"7\"]}}",
     "<DicomAttribute tag=\"00081140\" vr=\"SQ\" keyword=\"ReferencedImageSequence\"><Item"
     " number=\"1\"><DicomAttribute tag=\"00081155\" vr=\"UI\" "
     "keyword=\"ReferencedSOPInstanceUID\">"
     "<Value number=\"1\">1.2</Value></DicomAttribute></Item><Item number=\"2\"></Item>"
     "</DicomAttribute><DicomAttribute tag=\"00100020\" vr=\"LO\" keyword=\"PatientID\"><Value"
     " number=\"1\">7</Value></DicomAttribute>"},
    {"control bytes", "{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"a\\u0001b\"]}}",
     "<DicomAttribute tag=\"00100020\" vr=\"LO\" keyword=\"PatientID\"><Value number=\"1\">a"
     "\xEF\xBF\xBD"
     "b</Value></DicomAttribute>"},
};

static void writes_the_native_model(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_BUFFER got = {0};
        AUTO_BUFFER expected = {0};
        buffer_printf(&expected, "%s%s%s", HEAD, cases[i].xml, END);
        assert_int_equal(xml_append_model(cases[i].json, strlen(cases[i].json), &got), STATUS_OK);
        if (strcmp(buffer_text(&got), buffer_text(&expected)) != 0)
            fail_msg("%s: %s", cases[i].name, buffer_text(&got));
    }
}

static void refuses_what_is_no_object(void **state)
{
    (void)state;
    AUTO_BUFFER out = {0};
    assert_int_equal(xml_append_model("[1]", 3, &out), STATUS_INTERNAL);
    assert_int_equal(xml_append_model("{\"a", 3, &out), STATUS_INTERNAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(writes_the_native_model),
                                       cmocka_unit_test(refuses_what_is_no_object)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
