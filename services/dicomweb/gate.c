#include "dicomweb/gate.h"

#include "base/memory.h"
#include "crypto/crypto.h"
#include "dicomweb/context.h"
#include "dicomweb/location/index_access.h"

#include <ctype.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { GATE_SECRET_MIN = 16, GATE_SECRET_MAX = 256, TRACE_LENGTH = 32 };

status_t gate_read_secret(const char *path, char **out_secret)
{
    char text[GATE_SECRET_MAX + 1];
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (length < 0)
        return fail(STATUS_UNAVAILABLE, "gate_secret_file cannot be read: %m");
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r'))
        length--;
    if (length < GATE_SECRET_MIN)
        return fail(STATUS_INVALID, "gate_secret_file holds under %d bytes", GATE_SECRET_MIN);
    text[length] = '\0';
    *out_secret = memory_copy_text(text);
    return STATUS_OK;
}

/* This request's id, as nginx gave it: ties its log line to those of the index. */
static void take_trace(const http_request_t *request)
{
    char trace[TRACE_LENGTH + 1];
    const char *id = http_header(request, "X-Request-Id");
    size_t length = 0;
    for (; id && length < TRACE_LENGTH && isalnum((unsigned char)id[length]); length++)
        trace[length] = id[length];
    trace[length] = '\0';
    dicomweb_index_set_trace(trace);
}

bool dicomweb_admit(void *context, http_request_t *request)
{
    take_trace(request);
    const char *secret = ((dicomweb_t *)context)->gate_secret;
    if (!secret)
        return true;
    const char *given = http_header(request, "X-Zpacs-Gate");
    size_t length = strlen(secret);
    if (given && strlen(given) == length && crypto_equal(given, secret, length))
        return true;
    http_respond_error(request, 401, "this address serves the reverse proxy only");
    return false;
}
