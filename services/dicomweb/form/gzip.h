#ifndef ZPACS_DICOMWEB_GZIP_H
#define ZPACS_DICOMWEB_GZIP_H

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Does Accept-Encoding take gzip?                                             RFC 9110 12.5.3 */
bool gzip_is_accepted(const char *accept_encoding);

/*
 * One gzip member, joined of pieces that were compressed before:        RFC 1952 2.2, RFC 1951 3.2
 *
 *     head  (piece | text) ...  tail
 *
 * A piece is a run of deflate blocks, none of them the last, that ends on a byte and looks back to
 * nothing before it; a text is a stored block. The checksum is computed from those of the pieces.
 */
typedef struct {
    buffer_t blocks;
    uint32_t crc32;  /* of what it was made of */
    uint64_t length; /* of that */
} gzip_piece_t;

/* Of the member so far; `{0}` before the head. */
typedef struct {
    uint32_t crc32;
    uint64_t length;
} gzip_sum_t;

enum {
    GZIP_HEAD_SIZE = 10,
    GZIP_TEXT_MAX = 8,
    GZIP_TEXT_HEAD = 5, /* bytes before those of a text */
    GZIP_TAIL_SIZE = 10
};

/* Compresses, fast rather than small; gzip_piece_destroy() it. */
void gzip_piece_make(const void *bytes, size_t length, gzip_piece_t *out_piece);
void gzip_piece_destroy(gzip_piece_t *piece); /* `{0}` is fine */

/* What comes next in the member; each returns how many bytes it put into out. */
size_t gzip_head(uint8_t out[GZIP_HEAD_SIZE]);
size_t gzip_text(gzip_sum_t *sum, const char *text, uint8_t out[GZIP_TEXT_HEAD + GZIP_TEXT_MAX]);
void gzip_count(gzip_sum_t *sum, const gzip_piece_t *piece); /* its blocks are sent as they are */
size_t gzip_tail(const gzip_sum_t *sum, uint8_t out[GZIP_TAIL_SIZE]);

#endif
