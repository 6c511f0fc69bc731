#ifndef ZPACS_DICOM_WORDS_H
#define ZPACS_DICOM_WORDS_H

#include <stddef.h>
#include <stdint.h>

/*
 * From big to little endian.                                                       PS3.5 7.3
 */

/* Bytes of one word of a VR, which is what the order of bytes turns round; 1: none. */
unsigned dicom_word_of_vr(uint16_t vr);

/*
 * Bytes of one word of top-level Pixel Data.                               PS3.5 8.1.1, 8.2, A.3
 *
 * Pixels of 16, 32 and 64 bits are in the field turned round as a whole, whatever the VR. All others
 * go by the VR: OW splits pixels of 8 bits and single bits into words of 16, OB keeps their order.
 */
unsigned dicom_word_of_pixels(uint16_t vr, uint32_t bits_allocated);

/*
 * Writes part of a value with its words turned round; a cut last word of the value stays as it is.
 *
 * value, value_length  all of it: words are counted from its beginning
 * first, length        the part: wherever it begins and ends, within the value
 */
void dicom_words_turn(uint8_t *out, const uint8_t *value, uint64_t value_length, uint64_t first,
                      size_t length, unsigned word);

#endif
