#include "dicom/words.h"

#include "dicom/reader.h"

#include <stdbool.h>
#include <string.h>

/* clang-format off */
unsigned dicom_word_of_vr(uint16_t vr)
{
    switch (vr) {
    case DICOM_VR('A', 'T'): /* two numbers of 16 bits */
    case DICOM_VR('O', 'W'): case DICOM_VR('S', 'S'): case DICOM_VR('U', 'S'):
        return 2;
    case DICOM_VR('F', 'L'): case DICOM_VR('O', 'F'): case DICOM_VR('O', 'L'):
    case DICOM_VR('S', 'L'): case DICOM_VR('U', 'L'):
        return 4;
    case DICOM_VR('F', 'D'): case DICOM_VR('O', 'D'): case DICOM_VR('O', 'V'):
    case DICOM_VR('S', 'V'): case DICOM_VR('U', 'V'):
        return 8;
    default:
        return 1;
    }
}

/* clang-format on */

unsigned dicom_word_of_pixels(uint16_t vr, uint32_t bits_allocated)
{
    bool whole = bits_allocated == 16 || bits_allocated == 32 || bits_allocated == 64;
    return whole ? bits_allocated / 8 : dicom_word_of_vr(vr);
}

/* Whole words from the beginning of one; the many pixels of an image come this way. */
static void turn_whole(uint8_t *out, const uint8_t *in, size_t length, unsigned word)
{
    for (size_t i = 0; i < length; i += word) {
        if (word == 2) {
            uint16_t value = dicom_uint16(in + i, true);
            memcpy(out + i, &value, sizeof value);
        } else if (word == 4) {
            uint32_t value = dicom_uint32(in + i, true);
            memcpy(out + i, &value, sizeof value);
        } else {
            uint64_t value = dicom_uint64(in + i, true);
            memcpy(out + i, &value, sizeof value);
        }
    }
}

void dicom_words_turn(uint8_t *out, const uint8_t *value, uint64_t value_length, uint64_t first,
                      size_t length, unsigned word)
{
    if (word <= 1) {
        if (length)
            memcpy(out, value + first, length);
        return;
    }
    uint64_t whole = value_length - value_length % word;
    size_t i = 0;
    while (i < length) {
        uint64_t at = first + i, inside = at % word;
        if (inside == 0 && at < whole && length - i >= word) {
            uint64_t left = whole - at < length - i ? whole - at : length - i;
            size_t size = (size_t)(left - left % word);
            turn_whole(out + i, value + at, size, word);
            i += size;
        } else {
            out[i++] = value[at < whole ? at - inside + (word - 1 - inside) : at];
        }
    }
}
