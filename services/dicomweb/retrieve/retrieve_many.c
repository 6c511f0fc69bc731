/*
 * A study or a series as Part 10 files, each a part of the answer.     PS3.18 10.4.1.1.1, 8.6.1.2
 *
 * Page after page of locations, so that a study of any size needs the memory of one page.
 */
#include "dicomweb/form/parts.h"
#include "dicomweb/retrieve/retrieve.h"
#include "dicomweb/form/url.h"

/* An answer of many parts. */
typedef struct {
    dicomweb_t *dicomweb;
    http_request_t *request;
    const http_accept_t *accept;
    const char *base; /* of our URLs */
    int code;         /* 200 or 206 */
    bool is_begun;    /* there has been a part */
    status_t failed;  /* why the answer cannot go on; OK: the client is gone */
} many_t;

static void begin_many(many_t *many)
{
    AUTO_BUFFER type = {0};
    parts_append_type(&type, many->dicomweb, RETRIEVE_MEDIA_TYPE);
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
    parts_append_head(&head, many->dicomweb, is_first, RETRIEVE_MEDIA_TYPE, body->transfer_syntax,
                      buffer_text(&url));
    body_append_head(body, &head);
    if (is_first)
        begin_many(many);
    return http_write(many->request, head.data, head.length) && body_send(many->request, body);
}

static bool is_broken(many_t *many, const location_t *location, status_t status)
{
    retrieve_log_broken(location);
    many->failed = status;
    return false;
}

static bool send_stored(many_t *many, const stored_t *stored)
{
    offer_t offer;
    if (!retrieve_choose(many->accept, &stored->location, false, &offer))
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
        count += retrieve_choose(accept, &page->items[i], false, &offer);
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
    else if (many->failed != STATUS_OK)
        retrieve_refuse(many->request, many->failed);
    else
        http_abort(many->request);
}

void retrieve_many(dicomweb_t *dicomweb, http_request_t *request, const target_t *target,
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
