#ifndef ZPACS_TESTS_FUZZ_DICOM_PICK_SYNTAX_H
#define ZPACS_TESTS_FUZZ_DICOM_PICK_SYNTAX_H

#include "dicom/transfer_syntax.h"

#include <stdint.h>

/* The first byte of an input chooses how the rest is encoded. */
static inline const char *pick_syntax(uint8_t choice)
{
    static const char *const uids[] = {DICOM_IMPLICIT_LITTLE, DICOM_EXPLICIT_LITTLE,
                                       DICOM_EXPLICIT_BIG, "1.2.840.10008.1.2.4.50"};
    return uids[choice % 4];
}

#endif
