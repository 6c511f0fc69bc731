/* WADO-RS: a study, a series or an instance as Part 10 files.                   PS3.18 10.4.1.1.1 */
#include "dicom/file.h"
#include "dicomweb/dicomweb.h"
#include "dicomweb/negotiate.h"
#include "dicomweb/parts.h"
#include "dicomweb/stored.h"
#include "dicomweb/url.h"
#include "log/log.h"

#include <string.h>

#define DICOM "application/dicom"

/*
 * Bytes go out as they are stored or not at all: re-encoding belongs to the service render. So there is
 * one syntax on offer, and it fits or does not.
 */
static int choose(const http_accept_t *accept, const location_t *location, bool single_allowed)
{
    const offer_t offers[] = {{DICOM, location->transfer_syntax, true},
                              {DICOM, location->transfer_syntax, false}};
    return negotiate(accept, offers, single_allowed ? 2 : 1);
}

/* PS3.10 7.1: preamble of zeros and a rebuilt file meta group, before the dataset as received. */
static void append_file_head(buffer_t *out, const location_t *location)
{
    dicom_file_write_head(out, location->sop_class, location->instance, location->transfer_syntax,
                          location->source_ae_title);
}

static bool send_dataset(http_request_t *request, const stored_t *stored)
{
    return http_write_file(request, stored->fd, stored->location.dataset_offset,
                           stored->location.dataset_length);
}

static void send_single(dicomweb_t *dicomweb, http_request_t *request, const stored_t *stored,
                        bool multipart)
{
    const location_t *where = &stored->location;
    AUTO_BUFFER head = {0};
    AUTO_BUFFER end = {0};
    AUTO_BUFFER type = {0};
    if (multipart) {
        AUTO_BUFFER url = {0};
        url_append_request_base(&url, dicomweb->config->public_url, request);
        url_append_target(&url, where->study, where->series, where->instance);
        parts_append_type(&type, dicomweb, DICOM);
        parts_append_head(&head, dicomweb, true, DICOM, where->transfer_syntax, buffer_text(&url));
        parts_append_end(&end, dicomweb);
    } else {
        buffer_printf(&type, DICOM "; transfer-syntax=%s", where->transfer_syntax);
        http_add_header(request, "Content-Disposition", "attachment; filename=\"%s.dcm\"",
                        where->instance);
    }
    append_file_head(&head, where);
    http_begin(request, 200, buffer_text(&type),
               (int64_t)(head.length + where->dataset_length + end.length));
    if (http_write(request, head.data, head.length) && send_dataset(request, stored) &&
        (end.length == 0 || http_write(request, end.data, end.length)))
        http_end(request);
    else
        http_abort(request);
}

static void retrieve_instance(dicomweb_t *dicomweb, http_request_t *request, const target_t *target,
                              const http_accept_t *accept)
{
    location_t location;
    stored_t stored;
    status_t status = locate_instance(dicomweb, target, &location);
    if (status != STATUS_OK) {
        http_fail(request, status);
        return;
    }
    int choice = choose(accept, &location, true);
    if (choice < 0) {
        negotiate_refuse(request, "the instance");
        return;
    }
    status = stored_open(dicomweb, &location, &stored);
    if (status != STATUS_OK) {
        http_fail(request, status);
        return;
    }
    send_single(dicomweb, request, &stored, choice == 0);
    stored_close(&stored);
}

/* One part of a study or series; false: the answer cannot go on. */
static bool send_part(dicomweb_t *dicomweb, http_request_t *request, const location_t *location,
                      const char *base, bool is_first)
{
    stored_t stored;
    status_t status = stored_open(dicomweb, location, &stored);
    if (status ==
        STATUS_NOT_FOUND) /* deleted since the page was read: it is no longer part of this */
        return true;
    if (status != STATUS_OK) {
        log_error("retrieve.broken", LOG_TEXT("instance", location->instance),
                  LOG_TEXT("why", fail_detail()));
        return false;
    }
    AUTO_BUFFER url = {0};
    AUTO_BUFFER head = {0};
    buffer_append_text(&url, base);
    url_append_target(&url, location->study, location->series, location->instance);
    parts_append_head(&head, dicomweb, is_first, DICOM, stored.location.transfer_syntax,
                      buffer_text(&url));
    append_file_head(&head, &stored.location);
    bool sent = http_write(request, head.data, head.length) && send_dataset(request, &stored);
    stored_close(&stored);
    return sent;
}

static size_t count_acceptable(const http_accept_t *accept, const locations_t *page)
{
    size_t count = 0;
    for (size_t i = 0; i < page->count; i++)
        count += choose(accept, &page->items[i], false) >= 0;
    return count;
}

/* Sends page after page, so that a study of any size needs the memory of one page. */
static bool send_pages(dicomweb_t *dicomweb, http_request_t *request, const target_t *target,
                       const http_accept_t *accept, locations_t *page)
{
    AUTO_BUFFER base = {0};
    url_append_request_base(&base, dicomweb->config->public_url, request);
    const char *base_text = buffer_text(&base);
    bool is_first = true;
    for (;;) {
        for (size_t i = 0; i < page->count; i++) {
            if (choose(accept, &page->items[i], false) < 0)
                continue;
            if (!send_part(dicomweb, request, &page->items[i], base_text, is_first))
                return false;
            is_first = false;
        }
        if (!page->next)
            break;
        locations_t next = {0};
        status_t status = locate_page(dicomweb, target, page->next, 0, &next);
        if (status == STATUS_NOT_FOUND) /* the rest was deleted meanwhile */
            break;
        if (status != STATUS_OK)
            return false;
        locations_destroy(page);
        *page = next;
    }
    AUTO_BUFFER end = {0};
    parts_append_end(&end, dicomweb);
    return http_write(request, end.data, end.length);
}

static void retrieve_many(dicomweb_t *dicomweb, http_request_t *request, const target_t *target,
                          const http_accept_t *accept)
{
    locations_t page = {0};
    status_t status = locate_page(dicomweb, target, NULL, 0, &page);
    if (status != STATUS_OK) {
        http_fail(request, status);
        return;
    }
    size_t acceptable = count_acceptable(accept, &page);
    if (acceptable == 0) {
        negotiate_refuse(request, "the instances");
    } else {
        AUTO_BUFFER type = {0};
        parts_append_type(&type, dicomweb, DICOM);
        /* PS3.18 table 10.4.3-1: 206 when only some instances can be had in an acceptable syntax. */
        http_begin(request, acceptable < page.count ? 206 : 200, buffer_text(&type), -1);
        if (send_pages(dicomweb, request, target, accept, &page))
            http_end(request);
        else
            http_abort(request);
    }
    locations_destroy(&page);
}

void dicomweb_retrieve(void *context, http_request_t *request)
{
    dicomweb_t *dicomweb = context;
    target_t target;
    http_accept_t accept;
    status_t status = target_read(request, &target);
    if (status == STATUS_OK)
        status = negotiate_read(request, &accept);
    if (status != STATUS_OK)
        http_fail(request, status);
    else if (target.instance)
        retrieve_instance(dicomweb, request, &target, &accept);
    else
        retrieve_many(dicomweb, request, &target, &accept);
}
