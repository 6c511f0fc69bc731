#include "http/accept.h"

#include "http/media.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_BYTES = 64, VALUE_MAX_BYTES = 128 };

/* "0", "0.5", "1.000" in thousandths.                                           RFC 9110 12.4.2 */
static status_t parse_quality(const char *text, int *out_millis)
{
    static const int weights[] = {100, 10, 1};
    if ((text[0] != '0' && text[0] != '1') || (text[1] != '\0' && text[1] != '.'))
        return fail(STATUS_INVALID, "q is not a number from 0 to 1");
    int millis = text[0] == '1' ? 1000 : 0;
    const char *digits = text + (text[1] == '.' ? 2 : 1);
    for (size_t i = 0; digits[i]; i++) {
        if (i == sizeof weights / sizeof *weights || digits[i] < '0' || digits[i] > '9')
            return fail(STATUS_INVALID, "q is not a number of at most three decimals");
        millis += (digits[i] - '0') * weights[i];
    }
    if (millis > 1000)
        return fail(STATUS_INVALID, "q is over 1");
    *out_millis = millis;
    return STATUS_OK;
}

static status_t set_text(char *out, size_t size, const char *value)
{
    if (strlen(value) >= size)
        return fail(STATUS_INVALID, "a parameter of Accept has over %zu bytes", size - 1);
    memcpy(out, value, strlen(value) + 1);
    return STATUS_OK;
}

static status_t apply_parameter(http_media_range_t *range, const char *name, char *value)
{
    if (strcmp(name, "q") == 0)
        return parse_quality(value, &range->quality_millis);
    if (strcmp(name, "type") == 0) {
        http_text_to_lower(value);
        return set_text(range->part_type, sizeof range->part_type, value);
    }
    if (strcmp(name, "transfer-syntax") == 0)
        return set_text(range->transfer_syntax, sizeof range->transfer_syntax, value);
    if (strcmp(name, "charset") == 0) {
        http_text_to_lower(value);
        return set_text(range->charset, sizeof range->charset, value);
    }
    return STATUS_OK; /* others do not change what we can send */
}

static status_t parse_range(const char **at, http_media_range_t *out_range)
{
    http_media_range_t range = {.quality_millis = 1000};
    TRY(http_media_type(at, range.type, sizeof range.type));
    const char *subtype = strchr(range.type, '/') + 1;
    if (range.type[0] == '*' && strcmp(range.type, "*/*") != 0)
        return fail(STATUS_INVALID, "a media range that begins with '*' is */* or nothing");
    if (strchr(subtype, '*') && strcmp(subtype, "*") != 0)
        return fail(STATUS_INVALID, "'*' within a subtype");
    for (;;) {
        char name[NAME_MAX_BYTES], value[VALUE_MAX_BYTES];
        bool found;
        TRY(http_media_parameter(at, name, sizeof name, value, sizeof value, &found));
        if (!found)
            break;
        TRY(apply_parameter(&range, name, value));
    }
    *out_range = range;
    return STATUS_OK;
}

/* Insertion keeps the written order among equals. */
static void insert_by_quality(http_accept_t *accept, const http_media_range_t *range)
{
    size_t at = accept->count++;
    for (; at > 0 && accept->ranges[at - 1].quality_millis < range->quality_millis; at--)
        accept->ranges[at] = accept->ranges[at - 1];
    accept->ranges[at] = *range;
}

status_t http_accept_parse(const char *header, http_accept_t *out_accept)
{
    http_accept_t accept = {.count = 0};
    const char *at = header ? header : "";
    for (;;) {
        at += strspn(at, " \t,"); /* empty list members are allowed: RFC 9110 5.6.1.2 */
        if (*at == '\0')
            break;
        http_media_range_t range;
        TRY(parse_range(&at, &range));
        if (*at != ',' && *at != '\0')
            return fail(STATUS_INVALID, "malformed Accept");
        if (accept.count == HTTP_ACCEPT_MAX)
            return fail(STATUS_TOO_LARGE, "Accept has over %d media ranges", HTTP_ACCEPT_MAX);
        insert_by_quality(&accept, &range);
    }
    if (accept.count == 0) {
        accept.ranges[0] = (http_media_range_t){.type = "*/*", .quality_millis = 1000};
        accept.count = 1;
    }
    *out_accept = accept;
    return STATUS_OK;
}

bool http_media_range_takes(const http_media_range_t *range, const char *media_type)
{
    if (range->quality_millis == 0)
        return false; /* q=0: not acceptable */
    if (strcmp(range->type, "*/*") == 0)
        return true;
    size_t main_length = strcspn(range->type, "/") + 1;
    if (strcmp(range->type + main_length, "*") == 0)
        return strncmp(range->type, media_type, main_length) == 0;
    return strcmp(range->type, media_type) == 0;
}
