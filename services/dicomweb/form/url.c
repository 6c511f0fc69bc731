#include "dicomweb/form/url.h"

#include <ctype.h>
#include <string.h>

static bool host_is_plain(const char *host)
{
    size_t length = strlen(host);
    if (length == 0 || length > URL_HOST_MAX)
        return false;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)host[i]) && !strchr(".:-_[]", host[i]))
            return false;
    return true;
}

void url_append_base(buffer_t *out, const char *public_url, const char *scheme, const char *host)
{
    if (public_url && public_url[0]) {
        buffer_append_text(out, public_url);
        if (out->data[out->length - 1] == '/')
            out->length--;
    } else if (host && host_is_plain(host)) {
        bool secure = scheme && strcmp(scheme, "https") == 0;
        buffer_append_text(out, secure ? "https://" : "http://");
        buffer_append_text(out, host);
    }
    buffer_append_text(out, URL_DICOMWEB);
}

void url_append_request_base(buffer_t *out, const char *public_url, const http_request_t *request)
{
    url_append_base(out, public_url, http_header(request, "X-Forwarded-Proto"),
                    http_header(request, "Host"));
}

void url_append_target(buffer_t *out, const char *study, const char *series, const char *instance)
{
    buffer_append_text(out, "/studies/");
    buffer_append_text(out, study);
    if (!series || !series[0])
        return;
    buffer_append_text(out, "/series/");
    buffer_append_text(out, series);
    if (!instance || !instance[0])
        return;
    buffer_append_text(out, "/instances/");
    buffer_append_text(out, instance);
}
