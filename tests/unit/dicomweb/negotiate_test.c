#include "dicomweb/form/negotiate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define JPEG50   "1.2.840.10008.1.2.4.50"
#define JPEG70   "1.2.840.10008.1.2.4.70"
#define HEVC     "1.2.840.10008.1.2.4.107"
#define IMPLICIT "1.2.840.10008.1.2"
#define EXPLICIT "1.2.840.10008.1.2.1"

static const offer_t explicit_file[] = {{"application/dicom", EXPLICIT, true},
                                        {"application/dicom", EXPLICIT, false}};
static const offer_t implicit_file[] = {{"application/dicom", IMPLICIT, true},
                                        {"application/dicom", IMPLICIT, false}};
static const offer_t lossy_frame[] = {{"image/jpeg", JPEG50, true},
                                      {"application/octet-stream", JPEG50, true},
                                      {"image/jpeg", JPEG50, false}};
static const offer_t lossless_frame[] = {{"image/jpeg", JPEG70, true},
                                         {"application/octet-stream", JPEG70, true}};
static const offer_t video[] = {{"video/mp4", HEVC, false},
                                {"application/octet-stream", HEVC, false}};
static const offer_t metadata[] = {{"application/dicom+json", NULL, false},
                                   {"application/json", NULL, false},
                                   {"application/dicom+xml", NULL, true}};

static const struct {
    const char *name, *accept;
    const offer_t *offers;
    size_t count;
    int expected;
} cases[] = {
    {"absent takes the first", NULL, explicit_file, 2, 0},
    {"any takes a stored syntax", "*/*", implicit_file, 2, 0},
    {"no syntax means Explicit Little Endian", "multipart/related; type=\"application/dicom\"",
     explicit_file, 2, 0},
    {"no syntax takes the only form of a video", "video/mp4", video, 2, 0},
    {"another syntax of a video", "video/mp4; transfer-syntax=1.2.840.10008.1.2.4.102", video, 2,
     -1},
    {"another type of a video", "video/mpeg", video, 2, -1},
    {"octets of a video", "application/octet-stream", video, 2, -1},
    {"no syntax refuses Implicit", "multipart/related; type=\"application/dicom\"", implicit_file,
     2, -1},
    {"star takes Implicit", "multipart/related; type=\"application/dicom\"; transfer-syntax=*",
     implicit_file, 2, 0},
    {"the very UID", "multipart/related; type=\"application/dicom\"; transfer-syntax=" IMPLICIT,
     implicit_file, 2, 0},
    {"another UID", "multipart/related; type=\"application/dicom\"; transfer-syntax=1.2.3.4",
     explicit_file, 2, -1},
    {"single part", "application/dicom; transfer-syntax=*", explicit_file, 2, 1},
    {"single part is not on offer", "application/dicom; transfer-syntax=*", explicit_file, 1, -1},
    {"unknown part type", "multipart/related; type=\"application/nope\"", explicit_file, 2, -1},
    {"html", "text/html", explicit_file, 2, -1},
    {"html, then any", "text/html, */*;q=0.1", explicit_file, 2, 0},
    {"quality 0 is no", "multipart/related; type=\"application/dicom\";q=0", explicit_file, 2, -1},
    {"as OHIF asks for frames",
     "multipart/related; type=application/octet-stream; transfer-syntax=*", lossy_frame, 3, 1},
    {"octets without syntax mean native", "multipart/related; type=\"application/octet-stream\"",
     lossy_frame, 3, -1},
    {"the media type of its own, default syntax differs", "multipart/related; type=\"image/jpeg\"",
     lossy_frame, 3, -1},
    {"the media type of its own, default syntax fits", "multipart/related; type=\"image/jpeg\"",
     lossless_frame, 2, 0},
    {"any image", "image/*", lossy_frame, 3, 2},
    {"any part", "multipart/related; type=\"*/*\"; transfer-syntax=*", lossy_frame, 3, 0},
    {"upper case", "Multipart/Related; Type=\"Application/DICOM\"", explicit_file, 2, 0},
    {"dicom+json", "application/dicom+json", metadata, 3, 0},
    {"json", "application/json", metadata, 3, 1},
    {"xml", "multipart/related; type=\"application/dicom+xml\"", metadata, 3, 2},
    {"png for metadata", "image/png", metadata, 3, -1},
    {"the better one wins", "application/json;q=0.2, application/dicom+json;q=0.9", metadata, 3, 0},
};

static void chooses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        http_accept_t accept;
        assert_int_equal(http_accept_parse(cases[i].accept, &accept), STATUS_OK);
        int choice = negotiate(&accept, cases[i].offers, cases[i].count);
        if (choice != cases[i].expected)
            fail_msg("%s: %d instead of %d", cases[i].name, choice, cases[i].expected);
    }
}

static void knows_default_syntaxes(void **state)
{
    (void)state;
    assert_string_equal(negotiate_default_syntax("image/jls"), "1.2.840.10008.1.2.4.80");
    assert_string_equal(negotiate_default_syntax("application/dicom"), EXPLICIT);
    assert_null(negotiate_default_syntax("application/pdf"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(chooses),
                                       cmocka_unit_test(knows_default_syntaxes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
