#ifndef ZPACS_DICOM_FRAMES_H
#define ZPACS_DICOM_FRAMES_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Where each frame's bytes lie in a dataset.        PS3.5 8, A.4; PS3.3 C.7.6.3; PS3.18 10.4.1.1.6
 *
 * Native frames are frame_bits apart; 1-bit frames are packed: the first bit of frame i (from 0) is
 * bit (i * frame_bits) % 8 of the first byte of its span, counted from the lowest. An encapsulated
 * frame is a run of fragments: by the Extended or Basic Offset Table, else one fragment per frame,
 * else (one frame) all of them, else by the codec's end marker.
 */
typedef struct {
    uint64_t offset; /* of the first byte from the start of the dataset */
    uint64_t length;
} dicom_span_t;

typedef struct {
    uint32_t frame_count;
    bool encapsulated;
    unsigned word; /* native: bytes of a word to turn round to little endian; 1: none */
    uint32_t bits_allocated, rows, columns, samples_per_pixel;
    uint64_t frame_bits;         /* native: bits of one frame */
    uint64_t pixel_value_offset; /* native: of frame 0, so that a prefix of the dataset suffices to
                                    know where each frame would lie; words are counted from here, so
                                    that a frame of odd size begins inside one */
    uint64_t pixel_value_length; /* native: as far as it lies within the bytes */
    dicom_span_t *spans;         /* native: one per frame; encapsulated: all fragments in order */
    uint32_t *frame_first; /* encapsulated: frame i is spans[frame_first[i] .. frame_first[i+1]) */
    uint32_t span_count;
} dicom_frames_t;

enum { DICOM_FRAMES_MAX = 1 << 20, DICOM_FRAGMENTS_MAX = 1 << 22 };

/*
 * dataset is inflated already when the transfer syntax is deflated. Native
 * frames behind the end of the bytes have spans that are cut, down to length 0.
 *
 * Fails: NOT_FOUND (no pixel data), INVALID (Rows, Columns ... missing, of the wrong VR, or not
 * agreeing with the length; fragments that cannot be told apart), TOO_LARGE (over DICOM_FRAMES_MAX
 * or DICOM_FRAGMENTS_MAX), and as dicom_reader_next() does.
 */
status_t dicom_frames_locate(const uint8_t *dataset, size_t length, const char *transfer_syntax_uid,
                             dicom_frames_t **out_frames);
void dicom_frames_destroy(dicom_frames_t **frames);

#endif
