#include "dicomweb/form/parts.h"

#include "dicom/words.h"
#include "dicomweb/form/byte_range.h"

#include <inttypes.h>

void parts_append_type(buffer_t *out, const dicomweb_t *dicomweb, const char *media_type)
{
    buffer_printf(out, "multipart/related; type=\"%s\"; boundary=%s", media_type,
                  dicomweb->boundary);
}

void parts_append_head(buffer_t *out, const dicomweb_t *dicomweb, bool is_first,
                       const char *media_type, const char *transfer_syntax, const char *location)
{
    if (!is_first)
        buffer_append_text(out, "\r\n");
    buffer_append_text(out, "--");
    buffer_append_text(out, dicomweb->boundary);
    buffer_append_text(out, "\r\nContent-Type: ");
    buffer_append_text(out, media_type);
    if (transfer_syntax && transfer_syntax[0]) {
        buffer_append_text(out, "; transfer-syntax=");
        buffer_append_text(out, transfer_syntax);
    }
    if (location) {
        buffer_append_text(out, "\r\nContent-Location: ");
        buffer_append_text(out, location);
    }
    buffer_append_text(out, "\r\n\r\n");
}

void parts_append_end(buffer_t *out, const dicomweb_t *dicomweb)
{
    buffer_append_text(out, "\r\n--");
    buffer_append_text(out, dicomweb->boundary);
    buffer_append_text(out, "--\r\n");
}

static bool send_turned(http_request_t *request, const bytes_t *bytes, uint64_t first,
                        uint64_t length)
{
    uint8_t block[16 * 1024];
    while (length > 0) {
        size_t size = length < sizeof block ? (size_t)length : sizeof block;
        dicom_words_turn(block, bytes->memory, bytes->length, first, size, bytes->word);
        if (!http_write(request, block, size))
            return false;
        first += size;
        length -= size;
    }
    return true;
}

bool bytes_send(http_request_t *request, const bytes_t *bytes, uint64_t first, uint64_t length)
{
    if (length == 0)
        return true;
    if (!bytes->memory)
        return http_write_file(request, bytes->fd, bytes->offset + first, length);
    if (bytes->word > 1)
        return send_turned(request, bytes, first, length);
    return http_write(request, bytes->memory + first, (size_t)length);
}

bool parts_begin_range(http_request_t *request, const char *media_type, uint64_t *out_first,
                       uint64_t *length)
{
    uint64_t first = 0, part = *length;
    byte_range_t range = byte_range_parse(http_header(request, "Range"), *length, &first, &part);
    http_add_header(request, "Accept-Ranges", "bytes");
    if (range == BYTE_RANGE_UNSATISFIABLE) {
        http_add_header(request, "Content-Range", "bytes */%" PRIu64, *length);
        http_respond_error(request, 416, "the value has no such bytes");
        return false;
    }
    if (range == BYTE_RANGE_PART)
        http_add_header(request, "Content-Range", "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, first,
                        first + part - 1, *length);
    http_begin(request, range == BYTE_RANGE_PART ? 206 : 200, media_type, (int64_t)part);
    *out_first = first;
    *length = part;
    return true;
}
