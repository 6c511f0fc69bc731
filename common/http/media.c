#include "http/media.h"

#include <string.h>

static bool is_token_byte(char c) /* RFC 9110 5.6.2 */
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

/* Values in the field hold '/' unquoted: type=application/dicom. */
static bool is_value_byte(char c)
{
    return is_token_byte(c) || (c != '\0' && strchr("/:=?()@[]<>{}", c));
}

void http_media_skip_space(const char **at)
{
    *at += strspn(*at, " \t");
}

void http_text_to_lower(char *text)
{
    for (; *text; text++)
        if (*text >= 'A' && *text <= 'Z')
            *text = (char)(*text - 'A' + 'a');
}

static status_t copy_run(const char **at, bool (*takes)(char), char *out, size_t size)
{
    size_t length = 0;
    while (takes((*at)[length]))
        length++;
    if (length == 0)
        return fail(STATUS_INVALID, "malformed media type");
    if (length >= size)
        return fail(STATUS_INVALID, "a part of a media type has over %zu bytes", size - 1);
    memcpy(out, *at, length);
    out[length] = '\0';
    *at += length;
    return STATUS_OK;
}

status_t http_media_type(const char **at, char *out_type, size_t size)
{
    TRY(copy_run(at, is_token_byte, out_type, size));
    size_t length = strlen(out_type);
    if (**at != '/' || length + 2 > size)
        return fail(STATUS_INVALID, "a media type without '/'");
    (*at)++;
    out_type[length] = '/';
    TRY(copy_run(at, is_token_byte, out_type + length + 1, size - length - 1));
    http_text_to_lower(out_type);
    return STATUS_OK;
}

static status_t copy_quoted(const char **at, char *out, size_t size)
{
    size_t length = 0;
    const char *from = *at + 1;
    for (; *from && *from != '"'; from++) {
        if (*from == '\\' && from[1])
            from++;
        if ((unsigned char)*from < 0x20 && *from != '\t')
            return fail(STATUS_INVALID, "control byte in a quoted parameter");
        if (length + 1 >= size)
            return fail(STATUS_INVALID, "a parameter has over %zu bytes", size - 1);
        out[length++] = *from;
    }
    if (*from != '"')
        return fail(STATUS_INVALID, "a quoted parameter without its end");
    out[length] = '\0';
    *at = from + 1;
    return STATUS_OK;
}

status_t http_media_parameter(const char **at, char *out_name, size_t name_size, char *out_value,
                              size_t value_size, bool *out_found)
{
    http_media_skip_space(at);
    *out_found = false;
    while (**at == ';') { /* ";;" and a last ";" are seen in the field */
        (*at)++;
        http_media_skip_space(at);
        if (**at == ';' || **at == ',' || **at == '\0')
            continue;
        TRY(copy_run(at, is_token_byte, out_name, name_size));
        http_text_to_lower(out_name);
        http_media_skip_space(at);
        if (**at != '=')
            return fail(STATUS_INVALID, "a parameter without '='");
        (*at)++;
        http_media_skip_space(at);
        TRY(**at == '"' ? copy_quoted(at, out_value, value_size)
                        : copy_run(at, is_value_byte, out_value, value_size));
        *out_found = true;
        return STATUS_OK;
    }
    return STATUS_OK;
}
