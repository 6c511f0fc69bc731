#include "dicomweb/retrieve/body.h"

#include "dicom/file.h"

#include <string.h>

static status_t recode(dicomweb_t *dicomweb, body_t *body)
{
    const char *stored_syntax = body->stored->location.transfer_syntax;
    if (strcmp(body->transfer_syntax, DICOM_EXPLICIT_LITTLE) != 0 ||
        !dicom_recode_takes(stored_syntax))
        return fail(STATUS_UNSUPPORTED, "no recoding from %s to %s", stored_syntax,
                    body->transfer_syntax);
    TRY(dataset_open(dicomweb, body->stored, &body->dataset_));
    TRY(dicom_recode(body->dataset_.bytes, body->dataset_.length, stored_syntax, &body->recoded_));
    body->length = body->recoded_.length;
    return STATUS_OK;
}

status_t body_open(dicomweb_t *dicomweb, const stored_t *stored, const char *transfer_syntax,
                   body_t *out_body)
{
    body_t body = {.stored = stored,
                   .transfer_syntax = transfer_syntax,
                   .length = stored->location.dataset_length};
    if (strcmp(transfer_syntax, stored->location.transfer_syntax) != 0) {
        body.is_recoded = true;
        status_t status = recode(dicomweb, &body);
        if (status != STATUS_OK) {
            body_close(&body);
            return status;
        }
    }
    *out_body = body;
    return STATUS_OK;
}

void body_close(body_t *body)
{
    if (body->is_recoded) {
        dicom_recoded_destroy(&body->recoded_);
        dataset_close(&body->dataset_);
    }
    *body = (body_t){0};
}

void body_append_head(const body_t *body, buffer_t *out)
{
    const location_t *location = &body->stored->location;
    dicom_file_write_head(out, location->sop_class, location->instance, body->transfer_syntax,
                          location->source_ae_title);
}

/* What is inflated or to be turned round comes from memory or the map, all else from the file. */
static bool send_value(http_request_t *request, const body_t *body,
                       const dicom_recoded_value_t *value)
{
    bytes_t bytes = {.fd = body->stored->fd,
                     .offset = body->stored->location.dataset_offset + value->offset,
                     .length = value->length,
                     .word = value->word};
    if (value->word > 1 || body->dataset_.is_inflated)
        bytes.memory = body->dataset_.bytes + value->offset;
    return bytes_send(request, &bytes, 0, bytes.length);
}

static bool send_recoded(http_request_t *request, const body_t *body)
{
    const dicom_recoded_t *recoded = &body->recoded_;
    size_t sent = 0;
    for (size_t i = 0; i < recoded->value_count; i++) {
        const dicom_recoded_value_t *value = &recoded->values[i];
        if (!http_write(request, recoded->bytes.data + sent, value->after - sent) ||
            !send_value(request, body, value))
            return false;
        sent = value->after;
    }
    return sent == recoded->bytes.length ||
           http_write(request, recoded->bytes.data + sent, recoded->bytes.length - sent);
}

bool body_send(http_request_t *request, const body_t *body)
{
    const location_t *where = &body->stored->location;
    if (!body->is_recoded)
        return http_write_file(request, body->stored->fd, where->dataset_offset,
                               where->dataset_length);
    return send_recoded(request, body);
}
