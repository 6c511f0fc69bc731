#include "dicomweb/form/negotiate.h"

#include "base/text.h"
#include "dicom/transfer_syntax.h"
#include "http/query.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define JPEG "1.2.840.10008.1.2.4."

/* PS3.18 tables 8.7.3-2 (DICOM), 8.7.3-4 (uncompressed bulk data), 8.7.3-5 (compressed). */
static const struct {
    const char *media_type, *transfer_syntax;
} defaults[] = {
    {"application/dicom", DICOM_EXPLICIT_LITTLE},
    {"application/octet-stream", DICOM_EXPLICIT_LITTLE},
    {"image/jpeg", JPEG "70"},
    {"image/dicom-rle", "1.2.840.10008.1.2.5"},
    {"image/jls", JPEG "80"},
    {"image/jp2", JPEG "90"},
    {"image/jpx", JPEG "92"},
    {"image/jphc", JPEG "201"},
    {"image/jxl", JPEG "110"},
    {"video/mpeg", JPEG "100"},
    {"video/mp4", JPEG "102"},
};

const char *negotiate_default_syntax(const char *media_type)
{
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++)
        if (text_equal_ignore_case(defaults[i].media_type, media_type))
            return defaults[i].transfer_syntax;
    return NULL;
}

/* Takes "*", "image" + "/" + "*", or the very type; an absent type parameter takes all. */
static bool pattern_takes(const char *pattern, const char *media_type)
{
    size_t length = strlen(pattern);
    if (length == 0 || strcmp(pattern, "*/*") == 0 || strcmp(pattern, "*") == 0)
        return true;
    if (length >= 2 && strcmp(pattern + length - 2, "/*") == 0)
        return strncasecmp(pattern, media_type, length - 1) == 0;
    return text_equal_ignore_case(pattern, media_type);
}

static bool is_wild(const char *pattern)
{
    return pattern[0] == '\0' || strchr(pattern, '*') != NULL;
}

/*
 * A default syntax does not bind who has the pixels in lossy form only (PS3.18 8.7.3.3), and no video
 * can be had in another syntax without another loss.
 */
static bool is_video(const offer_t *offer)
{
    return strncmp(offer->media_type, "video/", 6) == 0;
}

static bool range_takes(const http_media_range_t *range, const offer_t *offer)
{
    if (range->quality_millis == 0)
        return false;
    bool any = strcmp(range->type, "*/*") == 0;
    bool multipart = strncmp(range->type, "multipart/", 10) == 0;
    bool wild;
    if (any) {
        wild = true;
    } else if (multipart) {
        if (!offer->multipart || !pattern_takes(range->part_type, offer->media_type))
            return false;
        wild = is_wild(range->part_type);
    } else {
        if (offer->multipart || !pattern_takes(range->type, offer->media_type))
            return false;
        wild = is_wild(range->type);
    }
    if (!offer->transfer_syntax || strcmp(range->transfer_syntax, "*") == 0)
        return true;
    if (range->transfer_syntax[0])
        return strcmp(range->transfer_syntax, offer->transfer_syntax) == 0;
    if (wild || is_video(offer))
        return true;
    const char *syntax = negotiate_default_syntax(offer->media_type);
    return !syntax || strcmp(syntax, offer->transfer_syntax) == 0;
}

int negotiate(const http_accept_t *accept, const offer_t *offers, size_t count)
{
    for (size_t i = 0; i < accept->count; i++)
        for (size_t j = 0; j < count; j++)
            if (range_takes(&accept->ranges[i], &offers[j]))
                return (int)j;
    return -1;
}

status_t negotiate_read(const http_request_t *request, http_accept_t *out_accept)
{
    const char *query = http_query(request);
    if (!strstr(query, "accept="))
        return http_accept_parse(http_header(request, "Accept"), out_accept);
    http_query_t terms = {0};
    TRY(http_query_parse(query, &terms));
    const char *value = http_header(request, "Accept");
    for (size_t i = 0; i < terms.count; i++)
        if (strcmp(terms.terms[i].name, "accept") == 0 && terms.terms[i].value[0])
            value = terms.terms[i].value;
    status_t status = http_accept_parse(value, out_accept);
    http_query_destroy(&terms);
    return status;
}

void negotiate_refuse(http_request_t *request, const char *what)
{
    char detail[160];
    snprintf(detail, sizeof detail, "%s cannot be sent in any form that Accept names", what);
    http_respond_error(request, 406, detail);
}
