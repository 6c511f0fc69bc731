#include "dicom/file.h"

#include "base/memory.h"

#include <zlib.h>

enum { CHUNK = 64 * 1024 };

/* PS3.5 A.5 asks for a bare deflate stream (RFC 1951); some writers put zlib's header before it. */
static int window_bits(const uint8_t *bytes, size_t length)
{
    bool zlib_header = length > 2 && bytes[0] == 0x78 && (bytes[0] * 256 + bytes[1]) % 31 == 0;
    return zlib_header ? MAX_WBITS : -MAX_WBITS;
}

/*
 * Inflates into out, which has room for limit + CHUNK bytes; with out NULL only the size is found,
 * and the bytes pass through scratch.
 */
static status_t run(z_stream *stream, const uint8_t *bytes, size_t length, size_t limit,
                    uint8_t *scratch, uint8_t *out, size_t *out_size)
{
    size_t size = 0, fed = 0;
    for (;;) {
        if (stream->avail_in == 0 && fed < length) {
            size_t part = length - fed < (1u << 30) ? length - fed : (1u << 30);
            stream->next_in = (Bytef *)(uintptr_t)(bytes + fed);
            stream->avail_in = (uInt)part;
            fed += part;
        }
        stream->next_out = out ? out + size : scratch;
        stream->avail_out = CHUNK;
        int result = inflate(stream, Z_NO_FLUSH);
        size += CHUNK - stream->avail_out;
        if (size > limit)
            return fail(STATUS_TOO_LARGE, "inflates to more than %zu bytes", limit);
        if (result == Z_STREAM_END) {
            *out_size = size;
            return STATUS_OK;
        }
        if (result != Z_OK)
            return fail(STATUS_INVALID, "not a complete deflate stream (%s)",
                        stream->msg ? stream->msg : "it ends too early");
    }
}

static status_t inflate_once(const uint8_t *bytes, size_t length, size_t limit, uint8_t *scratch,
                             uint8_t *out, size_t *out_size)
{
    z_stream stream = {0};
    if (inflateInit2(&stream, window_bits(bytes, length)) != Z_OK)
        return fail(STATUS_INTERNAL, "zlib: inflateInit2");
    status_t status = run(&stream, bytes, length, limit, scratch, out, out_size);
    inflateEnd(&stream);
    return status;
}

status_t dicom_inflated_size(const uint8_t *bytes, size_t length, size_t limit, unsigned ratio,
                             size_t *out_size)
{
    size_t by_ratio;
    if (!__builtin_mul_overflow(length, (size_t)ratio, &by_ratio) && by_ratio < limit)
        limit = by_ratio;
    AUTO_FREE uint8_t *scratch = memory_allocate(CHUNK);
    return inflate_once(bytes, length, limit, scratch, NULL, out_size);
}

status_t dicom_inflate_sized(const uint8_t *bytes, size_t length, size_t size,
                             buffer_t *out_dataset)
{
    size_t inflated;
    buffer_reserve(out_dataset, size + CHUNK);
    TRY(inflate_once(bytes, length, size, NULL, out_dataset->data + out_dataset->length,
                     &inflated));
    out_dataset->length += inflated;
    return STATUS_OK;
}

/* Twice: memory is taken for what has been seen to be within the limits, so a bomb costs none. */
status_t dicom_inflate(const uint8_t *bytes, size_t length, size_t limit, unsigned ratio,
                       buffer_t *out_dataset)
{
    size_t size;
    TRY(dicom_inflated_size(bytes, length, limit, ratio, &size));
    return dicom_inflate_sized(bytes, length, size, out_dataset);
}
