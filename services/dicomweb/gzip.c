#include "dicomweb/gzip.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

enum {
    LEVEL = 3,             /* DICOM JSON shrinks to a tenth at any level */
    WINDOW_GZIP = 15 + 16, /* zlib: 16 more asks for the gzip frame */
    MEMORY_LEVEL = 9,
    INPUT_MAX = 1 << 30 /* of one call to zlib */
};

bool gzip_is_accepted(const char *accept_encoding)
{
    const char *at = accept_encoding ? strcasestr(accept_encoding, "gzip") : NULL;
    if (!at)
        return false;
    at += strlen("gzip");
    while (*at == ' ')
        at++;
    if (*at != ';')
        return *at == '\0' || *at == ',';
    const char *quality = strcasestr(at, "q=");
    return !quality || strtod(quality + 2, NULL) > 0;
}

void gzip_append(const void *bytes, size_t length, buffer_t *out)
{
    z_stream stream = {0};
    if (deflateInit2(&stream, LEVEL, Z_DEFLATED, WINDOW_GZIP, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) !=
        Z_OK)
        abort(); /* out of memory */
    const uint8_t *input = bytes;
    int result = Z_OK;
    while (result != Z_STREAM_END) {
        size_t size = length < INPUT_MAX ? length : INPUT_MAX;
        stream.next_in = (Bytef *)(uintptr_t)input;
        stream.avail_in = (uInt)size;
        buffer_reserve(out, 64 * 1024);
        stream.next_out = out->data + out->length;
        stream.avail_out = 64 * 1024;
        result = deflate(&stream, size == length ? Z_FINISH : Z_NO_FLUSH);
        out->length += 64 * 1024 - stream.avail_out;
        input += size - stream.avail_in;
        length -= size - stream.avail_in;
    }
    deflateEnd(&stream);
}
