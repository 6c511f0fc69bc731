/* In which form an instance leaves, and what is said when there is none. */
#include "dicomweb/retrieve/retrieve.h"
#include "log/log.h"

#include <string.h>

bool retrieve_choose(const http_accept_t *accept, const location_t *location, bool single_allowed,
                     offer_t *out_offer)
{
    const char *syntaxes[] = {location->transfer_syntax, DICOM_EXPLICIT_LITTLE};
    size_t syntax_count = dicom_recode_takes(location->transfer_syntax) ? 2 : 1;
    offer_t offers[4];
    size_t count = 0;
    for (size_t i = 0; i < syntax_count; i++) {
        offers[count++] = (offer_t){RETRIEVE_MEDIA_TYPE, syntaxes[i], true};
        if (single_allowed)
            offers[count++] = (offer_t){RETRIEVE_MEDIA_TYPE, syntaxes[i], false};
    }
    int choice = negotiate(accept, offers, count);
    if (choice < 0)
        return false;
    *out_offer = offers[choice];
    return true;
}

void retrieve_refuse(http_request_t *request, status_t status)
{
    if (status == STATUS_UNSUPPORTED || status == STATUS_INVALID || status == STATUS_TOO_LARGE)
        http_respond_error(request, 406,
                           "the instance cannot be recoded to Explicit VR Little Endian: ask for "
                           "transfer-syntax=*");
    else
        http_fail(request, status);
}

void retrieve_log_broken(const location_t *location)
{
    log_error("retrieve.broken", LOG_TEXT("instance", location->instance),
              LOG_TEXT("why", fail_detail()));
}
