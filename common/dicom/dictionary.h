#ifndef ZPACS_DICOM_DICTIONARY_H
#define ZPACS_DICOM_DICTIONARY_H

#include <stdbool.h>
#include <stdint.h>

/* Where PS3.6 leaves a choice of VRs, which one applies depends on other attributes. */
typedef enum {
    DICOM_CHOICE_NONE,
    DICOM_CHOICE_US_SS, /* by Pixel Representation */
    DICOM_CHOICE_US_OW, /* LUT data: US when it has one entry */
    DICOM_CHOICE_OB_OW  /* OW in implicit VR (PS3.5 A.1) */
} dicom_choice_t;

/* One row of PS3.6, generated at build time from Debian's dicom.dic. */
typedef struct {
    uint32_t tag;
    uint16_t vr;         /* 'U','S' for "US or SS", 'O','W' for "OB or OW" (PS3.5 A.1) */
    uint16_t choice;     /* dicom_choice_t */
    const char *keyword; /* "PatientName" */
} dicom_attribute_t;

/*
 * The row of a tag, repeating groups (50xx, 60xx) included; NULL when unknown or private.
 * Group lengths (gggg,0000) are UL, private creators (gggg,0010..00FF) LO: they have rows too.
 */
const dicom_attribute_t *dicom_dictionary_by_tag(uint32_t tag);
const dicom_attribute_t *dicom_dictionary_by_keyword(const char *keyword); /* exact spelling */

/* "PatientName", "00100010" or "0010,0010" -> tag; false for anything else. */
bool dicom_tag_from_text(const char *text, uint32_t *out_tag);

#endif
