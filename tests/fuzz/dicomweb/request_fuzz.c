/*
 * What stands in a request to dicomweb, each reader given the same text: Range, a frame list, the keys
 * of a query, Host, Accept, Accept-Encoding. Each keeps its limits.
 */
#include "base/memory.h"
#include "dicomweb/form/byte_range.h"
#include "dicomweb/retrieve/frame_list.h"
#include "dicomweb/form/gzip.h"
#include "dicomweb/form/negotiate.h"
#include "dicomweb/query/query_parse.h"
#include "dicomweb/form/url.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void try_range(const char *text)
{
    static const uint64_t totals[] = {0, 1, 1000, UINT64_MAX};
    for (size_t i = 0; i < sizeof totals / sizeof *totals; i++) {
        uint64_t first = 0, length = 0;
        if (byte_range_parse(text, totals[i], &first, &length) == BYTE_RANGE_PART)
            must(length > 0 && first < totals[i] && length <= totals[i] - first);
    }
}

static void try_frames(const char *text)
{
    frame_list_t list = {0};
    if (frame_list_parse(text, &list) != STATUS_OK)
        return;
    must(list.count >= 1 && list.count <= FRAME_LIST_MAX);
    for (size_t i = 0; i < list.count; i++)
        must(list.numbers[i] > 0);
    free(list.numbers);
}

static void try_query(const char *text)
{
    http_query_t query = {0};
    qido_query_t parsed = {0};
    if (http_query_parse(text, &query) == STATUS_OK &&
        qido_query_parse(&query, &parsed) == STATUS_OK) {
        must(parsed.term_count <= QUERY_TERMS_MAX && parsed.field_count <= QUERY_FIELDS_MAX);
        must(parsed.limit <= UINT32_MAX && parsed.offset <= UINT32_MAX);
        for (size_t i = 0; i < parsed.term_count; i++)
            must(parsed.terms[i].value != NULL);
    }
    http_query_destroy(&query);
}

/* The URLs that we give are made of what a host may have, whatever the header says. */
static void try_host(const char *text)
{
    AUTO_BUFFER base = {0};
    url_append_base(&base, NULL, text, text);
    url_append_target(&base, "1.2", "3.4", "");
    must(base.length <= URL_HOST_MAX + 64);
    for (size_t i = 0; i < base.length; i++)
        must(isalnum(base.data[i]) || strchr("/:.-_[]", base.data[i]));
}

static void try_accept(const char *text)
{
    static const offer_t offers[] = {{"application/dicom", "1.2.840.10008.1.2.4.50", true},
                                     {"application/dicom+json", NULL, false},
                                     {"image/jpeg", "1.2.840.10008.1.2.4.50", true},
                                     {"video/mp4", "1.2.840.10008.1.2.4.102", true},
                                     {"application/octet-stream", "1.2.840.10008.1.2.1", false}};
    http_accept_t accept;
    if (http_accept_parse(text, &accept) != STATUS_OK)
        return;
    int chosen = negotiate(&accept, offers, sizeof offers / sizeof *offers);
    must(chosen >= -1 && chosen < (int)(sizeof offers / sizeof *offers));
    must(chosen == -1 || accept.ranges[0].quality_millis > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_FREE char *text = memory_copy_text_n((const char *)data, size);
    try_range(text);
    try_frames(text);
    try_query(text);
    try_host(text);
    try_accept(text);
    gzip_is_accepted(text);
    must(qido_url_position((const char *)data, size) <= size);
    return 0;
}
