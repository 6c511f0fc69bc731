/* PROXY headers, versions 1 and 2, whole, cut at every byte, and wrong. */
#include "dimse/door/proxy_protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define V2        "\r\n\r\n\0\r\nQUIT\n"
#define ROW(text) text, sizeof(text) - 1

static const struct {
    const char *name;
    const char *bytes;
    size_t length;
    status_t status;
    const char *source; /* NULL: the connection speaks for itself */
} cases[] = {
    {"v1 IPv4", ROW("PROXY TCP4 192.0.2.7 198.51.100.1 56324 104\r\n"), STATUS_OK, "192.0.2.7"},
    {"v1 IPv6", ROW("PROXY TCP6 2001:db8::7 ::1 56324 104\r\n"), STATUS_OK, "2001:db8::7"},
    {"v1 unknown", ROW("PROXY UNKNOWN\r\n"), STATUS_OK, NULL},
    {"v1 unknown with addresses", ROW("PROXY UNKNOWN ::1 ::1 1 2\r\n"), STATUS_OK, NULL},
    {"v2 IPv4", ROW(V2 "\x21\x11\0\x0c\xc0\0\2\x8\x7f\0\0\1\0\1\0\x68"), STATUS_OK, "192.0.2.8"},
    {"v2 IPv4 with a TLV", ROW(V2 "\x21\x11\0\x10\xc0\0\2\x8\x7f\0\0\1\0\1\0\x68\4\0\1\0"),
     STATUS_OK, "192.0.2.8"},
    {"v2 IPv6",
     ROW(V2 "\x21\x21\0\x24\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\7"
            "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\1\0\x68"),
     STATUS_OK, "2001:db8::7"},
    {"v2 local", ROW(V2 "\x20\0\0\0"), STATUS_OK, NULL},
    {"v1 of an unknown family", ROW("PROXY UDP4 192.0.2.7 192.0.2.8 1 2\r\n"), STATUS_INVALID,
     NULL},
    {"v1 with the wrong family", ROW("PROXY TCP4 ::1 ::1 1 2\r\n"), STATUS_INVALID, NULL},
    {"v1 without an address", ROW("PROXY TCP4\r\n"), STATUS_INVALID, NULL},
    {"v1 with a NUL", ROW("PROXY TCP4 192.0.2.7\0 192.0.2.8 1 2\r\n"), STATUS_INVALID, NULL},
    {"v1 with a bare CR", ROW("PROXY TCP4 192.0.2.7 192.0.2.8 1 2\rX"), STATUS_INVALID, NULL},
    {"v1 without end",
     ROW("PROXY TCP4 192.0.2.7 192.0.2.8 1 2                                           "
         "                                                                        "),
     STATUS_INVALID, NULL},
    {"v2 of version 3", ROW(V2 "\x31\x11\0\0"), STATUS_INVALID, NULL},
    {"v2 with another command", ROW(V2 "\x22\x11\0\0"), STATUS_INVALID, NULL},
    {"v2 too short for its family", ROW(V2 "\x21\x11\0\4\xc0\0\2\x8"), STATUS_INVALID, NULL},
    {"v2 of a unix socket", ROW(V2 "\x21\x31\0\0"), STATUS_INVALID, NULL},
    {"v2 of 64 KiB", ROW(V2 "\x21\x11\xff\xff"), STATUS_INVALID, NULL},
    {"an association request", ROW("\1\0\0\0\1\0"), STATUS_INVALID, NULL},
    {"almost", ROW("PROXX "), STATUS_INVALID, NULL},
};

static void test_headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        proxy_header_t header = {0};
        const uint8_t *bytes = (const uint8_t *)cases[i].bytes;
        status_t status = proxy_header_parse(bytes, cases[i].length, &header);
        if (status != cases[i].status)
            fail_msg("%s: %s", cases[i].name, status_name(status));
        if (status != STATUS_OK)
            continue;
        char source[ADDRESS_TEXT_SIZE];
        address_format(&header.source, source);
        if (header.has_source != (cases[i].source != NULL) || header.length != cases[i].length ||
            (cases[i].source && strcmp(source, cases[i].source) != 0))
            fail_msg("%s: %s, %zu bytes", cases[i].name, source, header.length);
    }
}

/* A header that is not whole yet asks for more; what comes behind it is not looked at. */
static void test_cut_at_every_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (cases[i].status != STATUS_OK)
            continue;
        proxy_header_t header;
        for (size_t length = 0; length < cases[i].length; length++) {
            uint8_t part[256];
            memcpy(part, cases[i].bytes, length);
            status_t status = proxy_header_parse(part, length, &header);
            if (status != STATUS_BUSY)
                fail_msg("%s cut at %zu: %s", cases[i].name, length, status_name(status));
        }
        uint8_t longer[300];
        memcpy(longer, cases[i].bytes, cases[i].length);
        memset(longer + cases[i].length, 1, sizeof longer - cases[i].length);
        assert_int_equal(proxy_header_parse(longer, sizeof longer, &header), STATUS_OK);
        assert_int_equal(header.length, cases[i].length);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_cut_at_every_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
