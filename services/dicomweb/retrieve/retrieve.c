/*
 * WADO-RS: a study, a series or an instance as Part 10 files.                   PS3.18 10.4.1.1.1
 *
 * One instance, from the request to the socket:
 *
 *     dicomweb_retrieve > retrieve_instance > answer_instance > send_single > body_send
 */
#include "dicomweb/retrieve/retrieve.h"

#include "dicomweb/handlers.h"
#include "dicomweb/form/parts.h"
#include "dicomweb/form/url.h"

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
        parts_append_type(&type, dicomweb, RETRIEVE_MEDIA_TYPE);
        parts_append_head(&head, dicomweb, true, RETRIEVE_MEDIA_TYPE, body->transfer_syntax,
                          buffer_text(&url));
        parts_append_end(&end, dicomweb);
    } else {
        buffer_printf(&type, RETRIEVE_MEDIA_TYPE "; transfer-syntax=%s", body->transfer_syntax);
        http_add_header(request, "Content-Disposition", "attachment; filename=\"%s.dcm\"",
                        where->instance);
    }
    body_append_head(body, &head);
    http_begin(request, 200, buffer_text(&type),
               (int64_t)(head.length + body->length + end.length));
    if (http_write(request, head.data, head.length) && body_send(request, body) &&
        (end.length == 0 || http_write(request, end.data, end.length)))
        http_end(request);
    else
        http_abort(request);
}

static void answer_instance(dicomweb_t *dicomweb, http_request_t *request, const stored_t *stored,
                            const http_accept_t *accept)
{
    offer_t offer;
    if (!retrieve_choose(accept, &stored->location, true, &offer)) {
        negotiate_refuse(request, "the instance");
        return;
    }
    body_t body;
    status_t status = body_open(dicomweb, stored, offer.transfer_syntax, &body);
    if (status != STATUS_OK) {
        retrieve_log_broken(&stored->location);
        retrieve_refuse(request, status);
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
