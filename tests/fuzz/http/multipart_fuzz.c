/* A multipart body from anybody: fed whole and byte by byte it must give the same events. */
#include "base/buffer.h"
#include "http/multipart.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static status_t on_begin(void *context, const char *headers)
{
    char value[40];
    buffer_append_text(context, "\x01");
    buffer_append_text(context, headers);
    buffer_append_text(context, "\x02");
    if (multipart_header(headers, "content-type", value, sizeof value))
        buffer_append_text(context, value);
    return STATUS_OK;
}

static status_t on_data(void *context, const void *bytes, size_t length)
{
    buffer_append(context, bytes, length);
    return STATUS_OK;
}

static status_t on_end(void *context)
{
    buffer_append_text(context, "\x03");
    return STATUS_OK;
}

static status_t parse(const char *boundary, const uint8_t *body, size_t length, size_t step,
                      buffer_t *events)
{
    static const multipart_events_t table = {on_begin, on_data, on_end};
    multipart_t *multipart = multipart_create(boundary, &table, events);
    status_t status = STATUS_OK;
    for (size_t at = 0; at < length && status == STATUS_OK; at += step)
        status = multipart_feed(multipart, body + at, length - at < step ? length - at : step);
    if (status == STATUS_OK)
        status = multipart_finish(multipart);
    multipart_destroy(&multipart);
    return status;
}

/* The first line is the Content-Type, the rest the body. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *line_end = size ? memchr(data, '\n', size) : NULL;
    if (!line_end)
        return 0;
    size_t line_length = (size_t)(line_end - data);
    char *content_type = malloc(line_length + 1);
    if (!content_type)
        return 0;
    memcpy(content_type, data, line_length);
    content_type[line_length] = '\0';
    multipart_type_t type;
    if (multipart_type_parse(content_type, &type) == STATUS_OK) {
        AUTO_BUFFER whole = {0}, bytes = {0};
        size_t length = size - line_length - 1;
        status_t first = parse(type.boundary, line_end + 1, length, length ? length : 1, &whole);
        status_t second = parse(type.boundary, line_end + 1, length, 1, &bytes);
        if (first != second || whole.length != bytes.length ||
            (whole.length && memcmp(whole.data, bytes.data, whole.length) != 0))
            abort();
    }
    free(content_type);
    return 0;
}
