#ifndef ZPACS_DICOM_PREAMBLE_H
#define ZPACS_DICOM_PREAMBLE_H

#include <stdint.h>

enum { DICOM_PREAMBLE_SIZE = 128 };

/*
 * What a file is besides DICOM, by the first of its 128 bytes: "a Windows program", "a ZIP archive" ...; NULL: nothing
 * that harms. TIFF, for which the preamble is there, is none.                PS3.10 7.1, 7.5; CVE-2019-11687
 */
const char *dicom_preamble_kind(const uint8_t *preamble);

#endif
