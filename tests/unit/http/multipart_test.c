#include "base/buffer.h"
#include "base/memory.h"
#include "http/multipart.h"

#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

/* Events as text: "[headers|data]" for each part, "[headers|data" for one that did not end. */
static status_t on_begin(void *context, const char *headers)
{
    buffer_append_byte(context, '[');
    buffer_append_text(context, headers);
    buffer_append_byte(context, '|');
    return STATUS_OK;
}

static status_t on_data(void *context, const void *bytes, size_t length)
{
    assert_true(length > 0);
    buffer_append(context, bytes, length);
    return STATUS_OK;
}

static status_t on_end(void *context)
{
    buffer_append_byte(context, ']');
    return STATUS_OK;
}

static const multipart_events_t to_text = {on_begin, on_data, on_end};

static status_t parse(const char *body, size_t length, size_t step, buffer_t *events)
{
    multipart_t *multipart = multipart_create("B", &to_text, events);
    status_t status = STATUS_OK;
    for (size_t at = 0; at < length && status == STATUS_OK; at += step)
        status = multipart_feed(multipart, body + at, length - at < step ? length - at : step);
    if (status == STATUS_OK)
        status = multipart_finish(multipart);
    else
        assert_int_equal(multipart_feed(multipart, "x", 1), STATUS_INVALID); /* stays refused */
    multipart_destroy(&multipart);
    multipart_destroy(&multipart);
    return status;
}

static void reads_bodies(void **state)
{
    (void)state;
    static const struct {
        const char *name, *body;
        status_t status;
        const char *events;
    } cases[] = {
        {"one part", "--B\r\nA: 1\r\n\r\ndata\r\n--B--", STATUS_OK, "[A: 1|data]"},
        {"line end behind the last boundary", "--B\r\n\r\ndata\r\n--B--\r\n", STATUS_OK, "[|data]"},
        {"two parts", "--B\r\n\r\n1\r\n--B\r\n\r\n2\r\n--B--", STATUS_OK, "[|1][|2]"},
        {"CRLF before the first boundary", "\r\n--B\r\n\r\n1\r\n--B--", STATUS_OK, "[|1]"},
        {"preamble and epilogue", "hello\r\n\r\n--B\r\n\r\n1\r\n--B--\r\nbye --B\r\n--B\r\n",
         STATUS_OK, "[|1]"},
        {"preamble that looks like a boundary", "--Bx\r\n--B\r\n\r\n1\r\n--B--", STATUS_OK, "[|1]"},
        {"two headers", "--B\r\nA: 1\r\nB: 2\r\n\r\n1\r\n--B--", STATUS_OK, "[A: 1\r\nB: 2|1]"},
        {"empty part", "--B\r\nA: 1\r\n\r\n\r\n--B--", STATUS_OK, "[A: 1|]"},
        {"part without a body", "--B\r\nA: 1\r\n\r\n--B--", STATUS_OK, "[A: 1|]"},
        {"part without a body, then another", "--B\r\n\r\n--B\r\n\r\n2\r\n--B--", STATUS_OK,
         "[|][|2]"},
        {"body that is CRLF", "--B\r\n\r\n\r\n\r\n--B--", STATUS_OK, "[|\r\n]"},
        {"body that begins with dashes", "--B\r\n\r\n--\r\n--B--", STATUS_OK, "[|--]"},
        {"body that begins with a longer word", "--B\r\n\r\n--Bx\r\n--B--", STATUS_OK, "[|--Bx]"},
        {"boundary within a line", "--B\r\n\r\na--B\r\nb\r\n--B--", STATUS_OK, "[|a--B\r\nb]"},
        {"boundary as the start of a longer word", "--B\r\n\r\na\r\n--BB\r\nb\r\n--B--", STATUS_OK,
         "[|a\r\n--BB\r\nb]"},
        {"boundary and one dash", "--B\r\n\r\na\r\n--B-\r\nb\r\n--B--", STATUS_OK,
         "[|a\r\n--B-\r\nb]"},
        {"boundary and a lone CR", "--B\r\n\r\na\r\n--B\rb\r\n--B--", STATUS_OK, "[|a\r\n--B\rb]"},
        {"boundary, CR, and the next boundary", "--B\r\n\r\na\r\n--B\r\r\n--B--", STATUS_OK,
         "[|a\r\n--B\r]"},
        {"boundary and LF", "--B\r\n\r\na\r\n--B\nb\r\n--B--", STATUS_OK, "[|a\r\n--B\nb]"},
        {"spaces behind a boundary", "--B \t\r\n\r\na\r\n--B  \r\n\r\nb\r\n--B--", STATUS_OK,
         "[|a][|b]"},
        {"spaces and a word behind a boundary", "--B\r\n\r\na\r\n--B  b\r\n--B--", STATUS_OK,
         "[|a\r\n--B  b]"},
        {"space before the closing dashes", "--B\r\n\r\na\r\n--B --\r\n--B--", STATUS_OK,
         "[|a\r\n--B --]"},
        {"CRs before a boundary", "--B\r\n\r\na\r\r\r\n--B--", STATUS_OK, "[|a\r\r]"},
        {"half delimiters", "--B\r\n\r\n\r\n-\r\n--\r\n-B\r\r\n\r\n--B--", STATUS_OK,
         "[|\r\n-\r\n--\r\n-B\r\r\n]"},
        {"delimiter broken by a delimiter", "--B\r\n\r\na\r\n-\r\n--B--", STATUS_OK, "[|a\r\n-]"},
        {"LF alone before a boundary", "--B\r\n\r\na\n--B--", STATUS_INVALID, "[|a\n--B--"},
        {"LF alone throughout", "--B\n\na\n--B--\n", STATUS_INVALID, ""},
        {"LF alone in the headers", "--B\r\nA: 1\n\r\na\r\n--B--", STATUS_INVALID, ""},
        {"CR alone in the headers", "--B\r\nA: 1\rx\r\n\r\na\r\n--B--", STATUS_INVALID, ""},
        {"no closing boundary", "--B\r\n\r\na\r\n--B", STATUS_INVALID, "[|a"},
        {"cut in the data", "--B\r\n\r\nabc", STATUS_INVALID, "[|abc"},
        {"cut in the headers", "--B\r\nA: 1", STATUS_INVALID, ""},
        {"another boundary", "--C\r\n\r\na\r\n--C--", STATUS_INVALID, ""},
        {"no part", "--B--", STATUS_INVALID, ""},
        {"nothing", "", STATUS_INVALID, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static const size_t steps[] = {1, 2, 3, 7, 1000};
        for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
            AUTO_BUFFER events = {0};
            status_t status = parse(cases[i].body, strlen(cases[i].body), steps[k], &events);
            if (status != cases[i].status || strcmp(buffer_text(&events), cases[i].events) != 0)
                fail_msg("%s, %zu bytes at once: %s, %s", cases[i].name, steps[k],
                         status_name(status), buffer_text(&events));
        }
    }
}

/* Every cut of a body full of traps into two feeds gives what the whole gives. */
static void any_cut_gives_the_same(void **state)
{
    (void)state;
    static const char body[] = "x\r\n--B\r\nA: 1\r\n\r\n--\r\n--B-\r\n--Bx\r\n\r--B\r\n--B \r\n"
                               "\r\n\r\n-\r\n--\r\n--B\r\r\n--B--epilogue";
    AUTO_BUFFER whole = {0};
    assert_int_equal(parse(body, sizeof body - 1, sizeof body, &whole), STATUS_OK);
    for (size_t cut = 1; cut < sizeof body - 1; cut++) {
        AUTO_BUFFER events = {0};
        multipart_t *multipart = multipart_create("B", &to_text, &events);
        assert_int_equal(multipart_feed(multipart, body, cut), STATUS_OK);
        assert_int_equal(multipart_feed(multipart, body + cut, sizeof body - 1 - cut), STATUS_OK);
        assert_int_equal(multipart_finish(multipart), STATUS_OK);
        assert_string_equal(buffer_text(&events), buffer_text(&whole));
        multipart_destroy(&multipart);
    }
}

/* Data of nothing but what a delimiter is made of, one part after the other: the end of each is known here. */
static void long_bodies_of_halves(void **state)
{
    (void)state;
    enum { PARTS = 40, PART_MAX = 400 };
    static const char of[] = "\r\r\n--Bx";
    uint32_t random = 1;
    AUTO_BUFFER body = {0};
    AUTO_BUFFER wanted = {0};
    for (int part = 0; part < PARTS; part++) {
        AUTO_BUFFER data = {0};
        for (int i = part * PART_MAX / PARTS; i > 0; i--) {
            random = random * 1664525 + 1013904223;
            buffer_append_byte(&data, (uint8_t)of[(random >> 24) % (sizeof of - 1)]);
        }
        for (char *whole; (whole = strstr(buffer_text(&data), "--B"));)
            whole[2] = 'x'; /* else it may be a delimiter in earnest */
        buffer_printf(&body, "%s--B\r\n\r\n", part ? "\r\n" : "");
        buffer_append(&body, data.data, data.length);
        buffer_append_text(&wanted, "[|");
        buffer_append(&wanted, data.data, data.length);
        buffer_append_text(&wanted, "]");
    }
    buffer_append_text(&body, "\r\n--B--");
    for (size_t step = 1; step <= body.length; step += step < 20 ? 1 : step / 3) {
        AUTO_BUFFER events = {0};
        assert_int_equal(parse((const char *)body.data, body.length, step, &events), STATUS_OK);
        assert_string_equal(buffer_text(&events), buffer_text(&wanted));
    }
}

static void has_limits(void **state)
{
    (void)state;
    AUTO_BUFFER body = {0}, events = {0};
    buffer_append_text(&body, "--B\r\nA: ");
    for (int i = 0; i < MULTIPART_HEADERS_MAX; i++)
        buffer_append_byte(&body, 'a');
    buffer_append_text(&body, "\r\n\r\n1\r\n--B--");
    assert_int_equal(parse(buffer_text(&body), body.length, 1000, &events), STATUS_TOO_LARGE);

    buffer_clear(&body);
    for (int i = 0; i <= MULTIPART_PARTS_MAX; i++)
        buffer_append_text(&body, "--B\r\n\r\n\r\n");
    buffer_append_text(&body, "--B--");
    assert_int_equal(parse(buffer_text(&body), body.length, 65536, &events), STATUS_TOO_LARGE);

    buffer_clear(&body);
    buffer_append_text(&body, "--B");
    for (int i = 0; i < 1000; i++)
        buffer_append_byte(&body, ' ');
    buffer_append_text(&body, "\r\n\r\n1\r\n--B--");
    assert_int_equal(parse(buffer_text(&body), body.length, 100, &events), STATUS_INVALID);
    assert_int_equal(parse("--B\r\nA\0: 1\r\n\r\n1\r\n--B--", 24, 100, &events), STATUS_INVALID);
}

static status_t refuse(void *context, const char *headers)
{
    (void)context;
    (void)headers;
    return STATUS_CONFLICT;
}

static void says_what_an_event_said(void **state)
{
    (void)state;
    multipart_events_t events = to_text;
    events.begin = refuse;
    multipart_t *multipart = multipart_create("B", &events, NULL);
    assert_int_equal(multipart_feed(multipart, "--B\r\n\r\n1", 8), STATUS_CONFLICT);
    assert_int_equal(multipart_finish(multipart), STATUS_INVALID);
    multipart_destroy(&multipart);
}

static void reads_content_types(void **state)
{
    (void)state;
    static const struct {
        const char *content_type;
        status_t status;
        const char *type, *boundary;
    } cases[] = {
        {"multipart/related; type=\"application/dicom\"; boundary=ABC", STATUS_OK,
         "application/dicom", "ABC"},
        {"multipart/related;type=application/dicom;boundary=ABC", STATUS_OK, "application/dicom",
         "ABC"},
        {"multipart/related; boundary=\"a b:c\"; type=\"application/dicom\"", STATUS_OK,
         "application/dicom", "a b:c"},
        {"Multipart/Related; Type=\"Application/DICOM\"; Boundary=ABC", STATUS_OK,
         "application/dicom", "ABC"},
        {"multipart/related; start=\"<x;y>\"; boundary=ABC;", STATUS_OK, "", "ABC"},
        {" multipart/related ; boundary = ABC", STATUS_OK, "", "ABC"},
        {"multipart/related; boundary=\"a\\\"b\"", STATUS_OK, "", "a\"b"},
        {"multipart/related; type=\"application/dicom\"", STATUS_INVALID, "", ""},
        {"multipart/related; boundary=\"\"", STATUS_INVALID, "", ""},
        {"multipart/related; boundary=\"ABC", STATUS_INVALID, "", ""},
        {"multipart/related; boundary=\"ABC \"", STATUS_INVALID, "", ""},
        {"multipart/related; boundary=\"A\rB\"", STATUS_INVALID, "", ""},
        {"multipart/related; boundary", STATUS_INVALID, "", ""},
        {"multipart/related; boundary=A B", STATUS_INVALID, "", ""},
        {"multipart/related; boundary="
         "1234567890123456789012345678901234567890123456789012345678901234567890",
         STATUS_OK, "", "1234567890123456789012345678901234567890123456789012345678901234567890"},
        {"multipart/related; boundary="
         "12345678901234567890123456789012345678901234567890123456789012345678901",
         STATUS_INVALID, "", ""},
        {"multipart/form-data; boundary=ABC", STATUS_UNSUPPORTED, "", ""},
        {"application/dicom", STATUS_UNSUPPORTED, "", ""},
        {"text", STATUS_UNSUPPORTED, "", ""},
        {"", STATUS_UNSUPPORTED, "", ""},
        {NULL, STATUS_UNSUPPORTED, "", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        multipart_type_t type = {.type = "", .boundary = ""};
        status_t status = multipart_type_parse(cases[i].content_type, &type);
        if (status != cases[i].status || strcmp(type.type, cases[i].type) != 0 ||
            strcmp(type.boundary, cases[i].boundary) != 0)
            fail_msg("%s: %s, type %s, boundary %s", cases[i].content_type, status_name(status),
                     type.type, type.boundary);
    }
}

static void finds_part_headers(void **state)
{
    (void)state;
    static const char headers[] =
        "Content-Type: application/dicom\r\nX:\r\nContent-ID:  a b \t\r\nY";
    char value[32];
    assert_true(multipart_header(headers, "content-type", value, sizeof value));
    assert_string_equal(value, "application/dicom");
    assert_true(multipart_header(headers, "Content-ID", value, sizeof value));
    assert_string_equal(value, "a b");
    assert_true(multipart_header(headers, "x", value, sizeof value));
    assert_string_equal(value, "");
    assert_true(multipart_header(headers, "Content-Type", value, 5));
    assert_string_equal(value, "appl");
    assert_false(multipart_header(headers, "Y", value, sizeof value));
    assert_false(multipart_header(headers, "Content", value, sizeof value));
    assert_false(multipart_header("", "X", value, sizeof value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_bodies),
        cmocka_unit_test(any_cut_gives_the_same),
        cmocka_unit_test(long_bodies_of_halves),
        cmocka_unit_test(has_limits),
        cmocka_unit_test(says_what_an_event_said),
        cmocka_unit_test(reads_content_types),
        cmocka_unit_test(finds_part_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
