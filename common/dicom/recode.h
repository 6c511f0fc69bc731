#ifndef ZPACS_DICOM_RECODE_H
#define ZPACS_DICOM_RECODE_H

#include "base/buffer.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A dataset of native pixels, said again in Explicit VR Little Endian.              PS3.5 7, A.2
 *
 *     bytes     ┌ elements ┐           ┌ elements ┐      ┌ … ┐
 *     values                └ pixels … ┘           └ LUT ┘
 *
 * Only headers and short values are written anew, into bytes. A long value stays where it is in the
 * source until it is sent, so an object of any size costs the memory of its attributes.
 *
 * VR       of implicit elements from the dictionary and Pixel Representation; what it does not know,
 *          and what is longer than its VR can say, is UN (PS3.5 6.2.2)
 * values   byte for byte, big endian words turned round; an odd length gets its padding (PS3.5 6.2)
 * lengths  of sequences and items: defined where they were, undefined where they were
 * sequence any kind of it becomes SQ with explicit content, also one in implicit VR inside UN
 * left out group lengths (PS3.5 7.2, retired), (FFFC,FFFC) (PS3.10 7.2), group 0002 at top level,
 *          bytes that are no element
 */
typedef struct {
    size_t after;            /* so many of bytes come before it */
    uint64_t offset, length; /* in the source */
    unsigned word;           /* bytes of a word to turn round (dicom_words_turn()); 1: none */
} dicom_recoded_value_t;

typedef struct {
    buffer_t bytes;
    dicom_recoded_value_t *values;
    size_t value_count;
    uint64_t length; /* of all of it */
} dicom_recoded_t;

enum {
    DICOM_RECODE_COPY_MAX = 4096,             /* longer values stay in the source */
    DICOM_RECODE_BYTES_MAX = 64 * 1024 * 1024 /* of bytes */
};

/* Implicit VR Little Endian, Explicit VR Big Endian, Deflated. */
bool dicom_recode_takes(const char *transfer_syntax_uid);

/*
 * dataset is inflated already when the transfer syntax is deflated.
 *
 * Fails: UNSUPPORTED (pixel data in fragments), TOO_LARGE (over DICOM_RECODE_BYTES_MAX, or a length
 * beyond 32 bits), INVALID (the dataset ends inside something that is not its pixel data), and as
 * dicom_reader_next() does.
 */
status_t dicom_recode(const uint8_t *dataset, size_t length, const char *transfer_syntax_uid,
                      dicom_recoded_t *out_recoded);
void dicom_recoded_destroy(dicom_recoded_t *recoded);

#endif
