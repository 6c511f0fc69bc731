#include "dicom/file.h"

#include <zlib.h>

enum { CHUNK = 64 * 1024 };

/* PS3.5 A.5 asks for a bare deflate stream (RFC 1951); some writers put zlib's header before it. */
static int window_bits(const uint8_t *bytes, size_t length)
{
    bool zlib_header = length > 2 && bytes[0] == 0x78 && (bytes[0] * 256 + bytes[1]) % 31 == 0;
    return zlib_header ? MAX_WBITS : -MAX_WBITS;
}

static status_t inflate_all(z_stream *stream, const uint8_t *bytes, size_t length, size_t limit,
                            buffer_t *out)
{
    size_t start = out->length, fed = 0;
    for (;;) {
        if (stream->avail_in == 0 && fed < length) {
            size_t part = length - fed < (1u << 30) ? length - fed : (1u << 30);
            stream->next_in = (Bytef *)(uintptr_t)(bytes + fed);
            stream->avail_in = (uInt)part;
            fed += part;
        }
        buffer_reserve(out, CHUNK);
        stream->next_out = out->data + out->length;
        stream->avail_out = CHUNK;
        int result = inflate(stream, Z_NO_FLUSH);
        out->length += CHUNK - stream->avail_out;
        if (out->length - start > limit)
            return fail(STATUS_TOO_LARGE, "inflates to more than %zu bytes", limit);
        if (result == Z_STREAM_END)
            return STATUS_OK;
        if (result != Z_OK)
            return fail(STATUS_INVALID, "not a complete deflate stream (%s)",
                        stream->msg ? stream->msg : "it ends too early");
    }
}

status_t dicom_inflate(const uint8_t *bytes, size_t length, size_t limit, unsigned ratio,
                       buffer_t *out_dataset)
{
    size_t by_ratio;
    if (!__builtin_mul_overflow(length, (size_t)ratio, &by_ratio) && by_ratio < limit)
        limit = by_ratio;
    z_stream stream = {0};
    if (inflateInit2(&stream, window_bits(bytes, length)) != Z_OK)
        return fail(STATUS_INTERNAL, "zlib: inflateInit2");
    size_t start = out_dataset->length;
    status_t status = inflate_all(&stream, bytes, length, limit, out_dataset);
    inflateEnd(&stream);
    if (status != STATUS_OK)
        out_dataset->length = start;
    return status;
}
