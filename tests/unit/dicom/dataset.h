#ifndef ZPACS_TESTS_UNIT_DICOM_DATASET_H
#define ZPACS_TESTS_UNIT_DICOM_DATASET_H

#include "base/buffer.h"
#include "dicom/reader.h"

#include <string.h>

/* Writes datasets for the tests, element by element. */
typedef enum { IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG } encoding_t;

#define ITEM_TAG         DICOM_TAG(0xFFFE, 0xE000)
#define ITEM_END_TAG     DICOM_TAG(0xFFFE, 0xE00D)
#define SEQUENCE_END_TAG DICOM_TAG(0xFFFE, 0xE0DD)
#define NO_LENGTH        0xFFFFFFFFu

static inline void put_uint(buffer_t *out, encoding_t encoding, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        buffer_append_byte(out,
                           (uint8_t)(value >> 8 * (encoding == EXPLICIT_BIG ? size - 1 - i : i)));
}

static inline void put_tag(buffer_t *out, encoding_t encoding, uint32_t tag)
{
    put_uint(out, encoding, tag >> 16, 2);
    put_uint(out, encoding, tag & 0xFFFF, 2);
}

/* Tag and length without a VR: items and delimiters. */
static inline void put_item(buffer_t *out, encoding_t encoding, uint32_t tag, uint32_t length)
{
    put_tag(out, encoding, tag);
    put_uint(out, encoding, length, 4);
}

static inline void put_header(buffer_t *out, encoding_t encoding, uint32_t tag, const char *vr,
                              uint32_t length)
{
    put_tag(out, encoding, tag);
    if (encoding == IMPLICIT_LITTLE) {
        put_uint(out, encoding, length, 4);
        return;
    }
    buffer_append(out, vr, 2);
    if (strstr("OB OD OF OL OV OW SQ SV UC UN UR UT UV", vr)) {
        put_uint(out, encoding, 0, 2);
        put_uint(out, encoding, length, 4);
    } else {
        put_uint(out, encoding, length, 2);
    }
}

static inline void put_bytes(buffer_t *out, encoding_t encoding, uint32_t tag, const char *vr,
                             const void *value, size_t length)
{
    put_header(out, encoding, tag, vr, (uint32_t)length);
    buffer_append(out, value, length);
}

/* Padded with a space to an even length. */
static inline void put_text(buffer_t *out, encoding_t encoding, uint32_t tag, const char *vr,
                            const char *text)
{
    size_t length = strlen(text);
    put_header(out, encoding, tag, vr, (uint32_t)(length + (length & 1)));
    buffer_append_text(out, text);
    if (length & 1)
        buffer_append_byte(out, ' ');
}

static inline void put_us(buffer_t *out, encoding_t encoding, uint32_t tag, uint16_t value)
{
    put_header(out, encoding, tag, "US", 2);
    put_uint(out, encoding, value, 2);
}

static inline const char *syntax_of(encoding_t encoding)
{
    return encoding == IMPLICIT_LITTLE   ? DICOM_IMPLICIT_LITTLE
           : encoding == EXPLICIT_LITTLE ? DICOM_EXPLICIT_LITTLE
                                         : DICOM_EXPLICIT_BIG;
}

#endif
