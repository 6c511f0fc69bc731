#ifndef ZPACS_DICOM_CHOICE_H
#define ZPACS_DICOM_CHOICE_H

#include "dicom/reader.h"

/*
 * The VRs that PS3.6 leaves to other attributes ("US or SS", "US or OW"), decided for elements
 * whose VR the stream does not tell.                                     PS3.5 7.1.2 note, A.1
 *
 * US or SS goes by the Pixel Representation of the item the element is in, else of what lies
 * around it, up to the dataset; there also when it comes behind the element.
 */
typedef struct {
    signed char is_signed[DICOM_NESTING_MAX + 1]; /* by depth; -1: that of the level around it */
} dicom_choices_t;

/* A dataset (depth 0) or an item (its tokens' depth) begins. */
void dicom_choices_begin(dicom_choices_t *choices, unsigned depth);

/* Takes note of an element that others depend on. */
void dicom_choices_note(dicom_choices_t *choices, const dicom_token_t *token);

/* The VR of an element; reader is behind its token. */
uint16_t dicom_choices_vr(dicom_choices_t *choices, const dicom_reader_t *reader,
                          const dicom_token_t *token);

#endif
