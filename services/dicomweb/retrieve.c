/* WADO-RS: a study, a series or an instance as Part 10 files.                   PS3.18 10.4.1.1.1 */
#include "dicom/file.h"
#include "dicomweb/body.h"
#include "dicomweb/dicomweb.h"
#include "dicomweb/negotiate.h"
#include "dicomweb/parts.h"
#include "dicomweb/url.h"
#include "log/log.h"

#include <string.h>

#define DICOM "application/dicom"

/*
 * As stored, or in Explicit VR Little Endian when that takes no more than other headers (compressed
 * pixels would have to be decoded). false: nothing fits.
 */
static bool choose(const http_accept_t *accept, const location_t *location, bool single_allowed,
                   offer_t *out_offer)
{
    const char *syntaxes[] = {location->transfer_syntax, DICOM_EXPLICIT_LITTLE};
    size_t syntax_count = dicom_recode_takes(location->transfer_syntax) ? 2 : 1;
    offer_t offers[4];
    size_t count = 0;
    for (size_t i = 0; i < syntax_count; i++) {
        offers[count++] = (offer_t){DICOM, syntaxes[i], true};
        if (single_allowed)
            offers[count++] = (offer_t){DICOM, syntaxes[i], false};
    }
    int choice = negotiate(accept, offers, count);
    if (choice < 0)
        return false;
    *out_offer = offers[choice];
    return true;
}

/* PS3.10 7.1: preamble of zeros and a rebuilt file meta group, before the dataset. */
static void append_file_head(buffer_t *out, const body_t *body)
{
    const location_t *location = &body->stored->location;
    dicom_file_write_head(out, location->sop_class, location->instance, body->transfer_syntax,
                          location->source_ae_title);
}

static void send_single(dicomweb_t *dicomweb, http_request_t *request, const body_t *body,
                        bool multipart)
{
    const location_t *where = &body->stored->location;
    AUTO_BUFFER head = {0};
    AUTO_BUFFER end = {0};
    AUTO_BUFFER type = {0};
    if (multipart) {
        AUTO_BUFFER url = {0};
        url_append_request_base(&url, dicomweb->config->public_url, request);
        url_append_target(&url, where->study, where->series, where->instance);
        parts_append_type(&type, dicomweb, DICOM);
        parts_append_head(&head, dicomweb, true, DICOM, body->transfer_syntax, buffer_text(&url));
        parts_append_end(&end, dicomweb);
    } else {
        buffer_printf(&type, DICOM "; transfer-syntax=%s", body->transfer_syntax);
        http_add_header(request, "Content-Disposition", "attachment; filename=\"%s.dcm\"",
                        where->instance);
    }
    append_file_head(&head, body);
    http_begin(request, 200, buffer_text(&type),
               (int64_t)(head.length + body->length + end.length));
    if (http_write(request, head.data, head.length) && body_send(request, body) &&
        (end.length == 0 || http_write(request, end.data, end.length)))
        http_end(request);
    else
        http_abort(request);
}

static void log_broken(const location_t *location)
{
    log_error("retrieve.broken", LOG_TEXT("instance", location->instance),
              LOG_TEXT("why", fail_detail()));
}

/* What cannot be recoded can be had as it is stored, and no other way. */
static void refuse_body(http_request_t *request, status_t status)
{
    if (status == STATUS_UNAVAILABLE || status == STATUS_NOT_FOUND)
        http_fail(request, status);
    else
        http_respond_error(request, 406,
                           "the instance cannot be recoded to Explicit VR Little Endian: ask for "
                           "transfer-syntax=*");
}

static void answer_instance(dicomweb_t *dicomweb, http_request_t *request, const stored_t *stored,
                            const http_accept_t *accept)
{
    offer_t offer;
    if (!choose(accept, &stored->location, true, &offer)) {
        negotiate_refuse(request, "the instance");
        return;
    }
    body_t body;
    status_t status = body_open(dicomweb, stored, offer.transfer_syntax, &body);
    if (status != STATUS_OK) {
        log_broken(&stored->location);
        refuse_body(request, status);
        return;
    }
    send_single(dicomweb, request, &body, offer.multipart);
    body_close(&body);
}

static void retrieve_instance(dicomweb_t *dicomweb, http_request_t *request, const target_t *target,
                              const http_accept_t *accept)
{
    location_t location;
    stored_t stored;
    status_t status = locate_instance(dicomweb, target, &location);
    if (status == STATUS_OK)
        status = stored_open(dicomweb, &location, &stored);
    if (status != STATUS_OK) {
        http_fail(request, status);
        return;
    }
    answer_instance(dicomweb, request, &stored, accept);
    stored_close(&stored);
}

/* An answer of many parts. */
typedef struct {
    dicomweb_t *dicomweb;
    http_request_t *request;
    const http_accept_t *accept;
    const char *base; /* of our URLs */
    int code;         /* 200 or 206 */
    bool is_begun;    /* a part has been sent, so that it is too late for another answer */
    status_t failed;  /* why the answer cannot go on; OK: the client is gone */
} many_t;

static void begin_many(many_t *many)
{
    AUTO_BUFFER type = {0};
    parts_append_type(&type, many->dicomweb, DICOM);
    http_begin(many->request, many->code, buffer_text(&type), -1);
    many->is_begun = true;
}

static bool send_body(many_t *many, const body_t *body)
{
    const location_t *where = &body->stored->location;
    bool is_first = !many->is_begun;
    AUTO_BUFFER url = {0};
    AUTO_BUFFER head = {0};
    buffer_append_text(&url, many->base);
    url_append_target(&url, where->study, where->series, where->instance);
    parts_append_head(&head, many->dicomweb, is_first, DICOM, body->transfer_syntax,
                      buffer_text(&url));
    append_file_head(&head, body);
    if (is_first)
        begin_many(many);
    return http_write(many->request, head.data, head.length) && body_send(many->request, body);
}

static bool is_broken(many_t *many, const location_t *location, status_t status)
{
    log_broken(location);
    many->failed = status;
    return false;
}

static bool send_stored(many_t *many, const stored_t *stored)
{
    offer_t offer;
    if (!choose(many->accept, &stored->location, false, &offer))
        return true;
    body_t body;
    status_t status = body_open(many->dicomweb, stored, offer.transfer_syntax, &body);
    if (status != STATUS_OK)
        return is_broken(many, &stored->location, status);
    bool sent = send_body(many, &body);
    body_close(&body);
    return sent;
}

/* One part of a study or series; false: the answer cannot go on. */
static bool send_part(many_t *many, const location_t *location)
{
    stored_t stored;
    status_t status = stored_open(many->dicomweb, location, &stored);
    if (status ==
        STATUS_NOT_FOUND) /* deleted since the page was read: it is no longer part of this */
        return true;
    if (status != STATUS_OK)
        return is_broken(many, location, status);
    bool sent = send_stored(many, &stored);
    stored_close(&stored);
    return sent;
}

static size_t count_acceptable(const http_accept_t *accept, const locations_t *page)
{
    size_t count = 0;
    offer_t offer;
    for (size_t i = 0; i < page->count; i++)
        count += choose(accept, &page->items[i], false, &offer);
    return count;
}

/* Sends page after page, so that a study of any size needs the memory of one page. */
static bool send_pages(many_t *many, const target_t *target, locations_t *page)
{
    for (;;) {
        for (size_t i = 0; i < page->count; i++)
            if (!send_part(many, &page->items[i]))
                return false;
        if (!page->next)
            break;
        locations_t next = {0};
        status_t status = locate_page(many->dicomweb, target, page->next, 0, &next);
        if (status == STATUS_NOT_FOUND) /* the rest was deleted meanwhile */
            break;
        if (status != STATUS_OK) {
            many->failed = status;
            return false;
        }
        locations_destroy(page);
        *page = next;
    }
    return true;
}

static void end_many(many_t *many)
{
    AUTO_BUFFER end = {0};
    parts_append_end(&end, many->dicomweb);
    if (!many->is_begun)
        http_fail(many->request, fail(STATUS_NOT_FOUND, "all of it was deleted meanwhile"));
    else if (http_write(many->request, end.data, end.length))
        http_end(many->request);
    else
        http_abort(many->request);
}

static void send_many(many_t *many, const target_t *target, locations_t *page)
{
    AUTO_BUFFER base = {0};
    url_append_request_base(&base, many->dicomweb->config->public_url, many->request);
    many->base = buffer_text(&base);
    if (send_pages(many, target, page))
        end_many(many);
    else if (!many->is_begun && many->failed != STATUS_OK)
        refuse_body(many->request, many->failed);
    else
        http_abort(many->request);
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
    /* PS3.18 table 10.4.3-1: 206 when only some instances can be had in an acceptable syntax. */
    many_t many = {.dicomweb = dicomweb,
                   .request = request,
                   .accept = accept,
                   .code = acceptable < page.count ? 206 : 200};
    if (acceptable == 0)
        negotiate_refuse(request, "the instances");
    else
        send_many(&many, target, &page);
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
