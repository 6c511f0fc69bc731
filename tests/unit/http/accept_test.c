#include "base/buffer.h"
#include "http/accept.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void parses_accept(void **state)
{
    (void)state;
    static const struct {
        const char *name, *header;
        status_t status;
        const char *ranges; /* type(part type,transfer syntax,charset)quality; */
    } cases[] = {
        {"absent", NULL, STATUS_OK, "*/*(,,)1000;"},
        {"empty", "", STATUS_OK, "*/*(,,)1000;"},
        {"blank", " , ", STATUS_OK, "*/*(,,)1000;"},
        {"one", "application/dicom+json", STATUS_OK, "application/dicom+json(,,)1000;"},
        {"upper case", "Application/DICOM+JSON", STATUS_OK, "application/dicom+json(,,)1000;"},
        {"by quality", "text/html;q=0.3, image/*;q=0.75,*/*;q=0.001, image/png", STATUS_OK,
         "image/png(,,)1000;image/*(,,)750;text/html(,,)300;*/*(,,)1;"},
        {"equal quality keeps the order", "a/b;q=0.5, c/d, e/f;q=0.5, g/h", STATUS_OK,
         "c/d(,,)1000;g/h(,,)1000;a/b(,,)500;e/f(,,)500;"},
        {"multipart", "multipart/related; type=\"application/dicom\"; transfer-syntax=*", STATUS_OK,
         "multipart/related(application/dicom,*,)1000;"},
        {"unquoted type",
         "multipart/related;type=image/jpeg;transfer-syntax=1.2.840.10008.1.2.4.50", STATUS_OK,
         "multipart/related(image/jpeg,1.2.840.10008.1.2.4.50,)1000;"},
        {"several multiparts",
         "multipart/related; type=\"image/jls\"; q=0.2, multipart/related; "
         "type=\"application/octet-stream\"; transfer-syntax=\"1.2.840.10008.1.2.1\"",
         STATUS_OK,
         "multipart/related(application/octet-stream,1.2.840.10008.1.2.1,)1000;"
         "multipart/related(image/jls,,)200;"},
        {"charset", "application/json; charset=UTF-8", STATUS_OK, "application/json(,,utf-8)1000;"},
        {"comma and semicolon in quotes", "a/b; x=\"1,2;q=0\", c/d", STATUS_OK,
         "a/b(,,)1000;c/d(,,)1000;"},
        {"not wanted", "a/b;q=0", STATUS_OK, "a/b(,,)0;"},
        {"q=1.000", "a/b;q=1.000", STATUS_OK, "a/b(,,)1000;"},
        {"q=1.001", "a/b;q=1.001", STATUS_INVALID, ""},
        {"q=2", "a/b;q=2", STATUS_INVALID, ""},
        {"q=.5", "a/b;q=.5", STATUS_INVALID, ""},
        {"four decimals", "a/b;q=0.1234", STATUS_INVALID, ""},
        {"no slash", "json", STATUS_INVALID, ""},
        {"no subtype", "a/", STATUS_INVALID, ""},
        {"star and a subtype", "*/json", STATUS_INVALID, ""},
        {"star within a subtype", "application/*json", STATUS_INVALID, ""},
        {"two words", "a/b c/d", STATUS_INVALID, ""},
        {"open quote", "a/b;x=\"1", STATUS_INVALID, ""},
        {"parameter without a value", "a/b;x", STATUS_INVALID, ""},
        {"long transfer syntax",
         "a/b;transfer-syntax="
         "11111111111111111111111111111111111111111111111111111111111111111111111",
         STATUS_INVALID, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_BUFFER ranges = {0};
        http_accept_t accept = {.count = 0};
        status_t status = http_accept_parse(cases[i].header, &accept);
        for (size_t k = 0; k < accept.count; k++) {
            const http_media_range_t *range = &accept.ranges[k];
            buffer_printf(&ranges, "%s(%s,%s,%s)%d;", range->type, range->part_type,
                          range->transfer_syntax, range->charset, range->quality_millis);
        }
        if (status != cases[i].status || strcmp(buffer_text(&ranges), cases[i].ranges) != 0)
            fail_msg("%s: %s, %s", cases[i].name, status_name(status), buffer_text(&ranges));
    }
}

static void matches_types(void **state)
{
    (void)state;
    static const struct {
        const char *range, *type;
        bool takes;
    } cases[] = {
        {"*/*", "application/dicom+json", true},
        {"application/*", "application/dicom+json", true},
        {"app/*", "application/dicom+json", false},
        {"application/dicom", "application/dicom+json", false},
        {"application/json", "application/json", true},
        {"application/json;q=0", "application/json", false},
        {"image/*", "application/json", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        http_accept_t accept;
        assert_int_equal(http_accept_parse(cases[i].range, &accept), STATUS_OK);
        if (http_media_range_takes(&accept.ranges[0], cases[i].type) != cases[i].takes)
            fail_msg("%s, %s", cases[i].range, cases[i].type);
    }
}

static void has_limits(void **state)
{
    (void)state;
    AUTO_BUFFER header = {0};
    http_accept_t accept = {.count = 7};
    for (int i = 0; i < HTTP_ACCEPT_MAX; i++)
        buffer_append_text(&header, "a/b,");
    assert_int_equal(http_accept_parse(buffer_text(&header), &accept), STATUS_OK);
    assert_int_equal(accept.count, HTTP_ACCEPT_MAX);
    accept.count = 7;
    buffer_append_text(&header, "a/b");
    assert_int_equal(http_accept_parse(buffer_text(&header), &accept), STATUS_TOO_LARGE);
    assert_int_equal(accept.count, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_accept),
        cmocka_unit_test(matches_types),
        cmocka_unit_test(has_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
