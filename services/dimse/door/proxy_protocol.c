#include "dimse/door/proxy_protocol.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

enum { V1_MAX = 107, V1_FIELDS = 6, V2_FIXED = 16 };

static const char v1_start[] = "PROXY ";
static const uint8_t v2_start[12] = {0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D,
                                     0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A};

static bool starts_like(const uint8_t *bytes, size_t length, const void *start, size_t start_length)
{
    return memcmp(bytes, start, length < start_length ? length : start_length) == 0;
}

/* "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n" */
static status_t parse_v1(const uint8_t *bytes, size_t length, proxy_header_t *out_header)
{
    size_t looked_at = length < V1_MAX ? length : V1_MAX;
    const uint8_t *end = memchr(bytes, '\r', looked_at);
    if (!end || end + 1 == bytes + length) {
        if (looked_at == V1_MAX)
            return fail(STATUS_INVALID, "PROXY header without end of line");
        return STATUS_BUSY;
    }
    if (end[1] != '\n')
        return fail(STATUS_INVALID, "PROXY header with a bare CR");
    char line[V1_MAX + 1];
    size_t line_length = (size_t)(end - bytes);
    memcpy(line, bytes, line_length);
    line[line_length] = 0;
    if (strlen(line) != line_length)
        return fail(STATUS_INVALID, "PROXY header with a NUL");
    proxy_header_t header = {.length = line_length + 2};
    char family[8], source[ADDRESS_TEXT_SIZE];
    if (sscanf(line, "PROXY %7s", family) == 1 && strcmp(family, "UNKNOWN") == 0) {
        *out_header = header;
        return STATUS_OK;
    }
    if (sscanf(line, "PROXY %7s %45s", family, source) != 2 ||
        (strcmp(family, "TCP4") != 0 && strcmp(family, "TCP6") != 0))
        return fail(STATUS_INVALID, "PROXY header without family and address");
    if ((strcmp(family, "TCP6") == 0) != (strchr(source, ':') != NULL))
        return fail(STATUS_INVALID, "PROXY header whose address is not of its family");
    TRY(address_parse(source, &header.source));
    header.has_source = true;
    *out_header = header;
    return STATUS_OK;
}

/*
 *      0          12            13       14       16
 *     | signature | ver + cmd   | family | length | source, destination, ports, TLVs … |
 */
static status_t parse_v2(const uint8_t *bytes, size_t length, proxy_header_t *out_header)
{
    if (length < V2_FIXED)
        return STATUS_BUSY;
    unsigned version = bytes[12] >> 4, command = bytes[12] & 15, family = bytes[13];
    size_t rest = (size_t)bytes[14] << 8 | bytes[15];
    if (version != 2 || command > 1)
        return fail(STATUS_INVALID, "PROXY header of version %u, command %u", version, command);
    if (rest > PROXY_HEADER_MAX - V2_FIXED)
        return fail(STATUS_INVALID, "PROXY header of %zu bytes", rest);
    if (length < V2_FIXED + rest)
        return STATUS_BUSY;
    proxy_header_t header = {.length = V2_FIXED + rest};
    struct sockaddr_storage source = {0};
    if (command == 1 && family == 0x11 && rest >= 12) { /* PROXY, TCP over IPv4 */
        source.ss_family = AF_INET;
        memcpy(&((struct sockaddr_in *)&source)->sin_addr, bytes + V2_FIXED, 4);
        header.has_source = true;
    } else if (command == 1 && family == 0x21 && rest >= 36) { /* PROXY, TCP over IPv6 */
        source.ss_family = AF_INET6;
        memcpy(&((struct sockaddr_in6 *)&source)->sin6_addr, bytes + V2_FIXED, 16);
        header.has_source = true;
    } else if (command == 1 && family != 0) {
        return fail(STATUS_INVALID, "PROXY header of family %02X with %zu bytes", family, rest);
    }
    if (header.has_source)
        TRY(address_from_socket(&source, &header.source));
    *out_header = header;
    return STATUS_OK;
}

status_t proxy_header_parse(const uint8_t *bytes, size_t length, proxy_header_t *out_header)
{
    if (starts_like(bytes, length, v1_start, sizeof v1_start - 1))
        return length < sizeof v1_start - 1 ? STATUS_BUSY : parse_v1(bytes, length, out_header);
    if (starts_like(bytes, length, v2_start, sizeof v2_start))
        return length < sizeof v2_start ? STATUS_BUSY : parse_v2(bytes, length, out_header);
    return fail(STATUS_INVALID, "no PROXY header");
}
