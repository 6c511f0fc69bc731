#include "dicomweb/form/gzip.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

enum {
    LEVEL = 3,        /* DICOM JSON shrinks to a tenth at any level */
    WINDOW_RAW = -15, /* zlib: negative asks for bare deflate blocks */
    MEMORY_LEVEL = 9,
    INPUT_MAX = 1 << 30, /* of one call to zlib */
    OUTPUT_STEP = 64 * 1024
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

/* ---- pieces ---------------------------------------------------------------------------------- */

/* All that zlib has to say about its input; Z_FULL_FLUSH ends on a byte and forgets what was. */
static void run(z_stream *stream, int flush, buffer_t *out)
{
    do {
        buffer_reserve(out, OUTPUT_STEP);
        stream->next_out = out->data + out->length;
        stream->avail_out = OUTPUT_STEP;
        if (deflate(stream, flush) == Z_STREAM_ERROR)
            abort(); /* not with these arguments */
        out->length += OUTPUT_STEP - stream->avail_out;
    } while (stream->avail_out == 0);
}

void gzip_piece_make(const void *bytes, size_t length, gzip_piece_t *out_piece)
{
    gzip_piece_t piece = {.crc32 = (uint32_t)crc32_z(0, bytes, length), .length = length};
    z_stream stream = {0};
    if (deflateInit2(&stream, LEVEL, Z_DEFLATED, WINDOW_RAW, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) !=
        Z_OK)
        abort(); /* out of memory */
    const uint8_t *input = bytes;
    while (length > 0) {
        size_t size = length < INPUT_MAX ? length : INPUT_MAX;
        stream.next_in = (Bytef *)(uintptr_t)input;
        stream.avail_in = (uInt)size;
        run(&stream, size == length ? Z_FULL_FLUSH : Z_NO_FLUSH, &piece.blocks);
        input += size;
        length -= size;
    }
    deflateEnd(&stream);
    if (piece.blocks.length > 0) { /* it will be kept */
        piece.blocks.data = memory_resize(piece.blocks.data, piece.blocks.length);
        piece.blocks.capacity = piece.blocks.length;
    }
    *out_piece = piece;
}

void gzip_piece_destroy(gzip_piece_t *piece)
{
    buffer_destroy(&piece->blocks);
    *piece = (gzip_piece_t){0};
}

/* ---- joining --------------------------------------------------------------------------------- */

static void put_uint32(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

static void add(gzip_sum_t *sum, uint32_t crc32, uint64_t length)
{
    sum->crc32 = (uint32_t)crc32_combine(sum->crc32, crc32, (z_off_t)length);
    sum->length += length;
}

size_t gzip_head(uint8_t out[GZIP_HEAD_SIZE])
{
    enum { DEFLATE = 8, UNIX = 3 };
    static const uint8_t head[GZIP_HEAD_SIZE] = {0x1F, 0x8B, DEFLATE, 0, 0, 0, 0, 0, 0, UNIX};
    memcpy(out, head, sizeof head);
    return sizeof head;
}

/* A stored block: its type in a byte, the length, its complement, the bytes.     RFC 1951 3.2.4 */
size_t gzip_text(gzip_sum_t *sum, const char *text, uint8_t out[GZIP_TEXT_HEAD + GZIP_TEXT_MAX])
{
    uint8_t length = (uint8_t)strnlen(text, GZIP_TEXT_MAX);
    const uint8_t head[GZIP_TEXT_HEAD] = {0, length, 0, (uint8_t)~length, 0xFF};
    memcpy(out, head, sizeof head);
    memcpy(out + sizeof head, text, length);
    add(sum, (uint32_t)crc32(0, (const Bytef *)text, length), length);
    return sizeof head + length;
}

void gzip_count(gzip_sum_t *sum, const gzip_piece_t *piece)
{
    add(sum, piece->crc32, piece->length);
}

/* The last block holds nothing; behind it the checksum and the length.            RFC 1952 2.3.1 */
size_t gzip_tail(const gzip_sum_t *sum, uint8_t out[GZIP_TAIL_SIZE])
{
    out[0] = 3; /* last, with fixed codes: its end is seven zero bits */
    out[1] = 0;
    put_uint32(out + 2, sum->crc32);
    put_uint32(out + 6, (uint32_t)sum->length);
    return GZIP_TAIL_SIZE;
}
