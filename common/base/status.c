#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

enum { DETAIL_MAX = 512 };

static _Thread_local char detail[DETAIL_MAX];

static const struct {
    const char *name;
    int http;
    unsigned dimse;
} outcomes[STATUS_COUNT] = {
    [STATUS_OK] = {"OK", 200, 0x0000},
    [STATUS_INVALID] = {"INVALID", 400, 0xC000},
    [STATUS_UNSUPPORTED] = {"UNSUPPORTED", 415, 0x0122},
    [STATUS_NOT_FOUND] = {"NOT_FOUND", 404, 0x0112},
    [STATUS_DENIED] = {"DENIED", 403, 0x0124},
    [STATUS_CONFLICT] = {"CONFLICT", 409, 0xA900},
    [STATUS_TOO_LARGE] = {"TOO_LARGE", 413, 0xC000},
    [STATUS_BUSY] = {"BUSY", 503, 0xA700},
    [STATUS_UNAVAILABLE] = {"UNAVAILABLE", 503, 0xA700},
    [STATUS_EXPIRED] = {"EXPIRED", 504, 0xA700},
    [STATUS_INTERNAL] = {"INTERNAL", 500, 0x0110},
};

status_t(fail)(status_t status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    return status;
}

const char *fail_detail(void)
{
    return detail;
}

static unsigned known(status_t status)
{
    return (unsigned)status < STATUS_COUNT ? (unsigned)status : (unsigned)STATUS_INTERNAL;
}

const char *status_name(status_t status)
{
    return outcomes[known(status)].name;
}

int status_to_http(status_t status)
{
    return outcomes[known(status)].http;
}

unsigned status_to_dimse(status_t status)
{
    return outcomes[known(status)].dimse;
}
