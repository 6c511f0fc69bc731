#ifndef ZPACS_DICOM_DICTIONARY_TABLE_H
#define ZPACS_DICOM_DICTIONARY_TABLE_H

#include "dicom/dictionary.h"
#include "dicom/reader.h"

/* What scripts/make-dictionary writes and dictionary.c reads; nobody else includes it. */
typedef struct {
    uint16_t group_low, group_high; /* only groups of the parity of group_low */
    uint16_t element_low, element_high;
    dicom_attribute_t row; /* its tag is the range's first */
} dicom_range_t;

extern const dicom_attribute_t dicom_dictionary_rows[]; /* ascending by tag */
extern const unsigned dicom_dictionary_count;
extern const unsigned short dicom_dictionary_keywords[]; /* indexes, ascending by keyword */
extern const dicom_range_t dicom_dictionary_ranges[];
extern const unsigned dicom_dictionary_range_count;

#endif
