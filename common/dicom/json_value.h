#ifndef ZPACS_DICOM_JSON_VALUE_H
#define ZPACS_DICOM_JSON_VALUE_H

#include "base/buffer.h"
#include "dicom/charset.h"
#include "dicom/reader.h"

/* How a VR's values are written in JSON.                                 PS3.18 table F.2.3-1 */
typedef enum {
    DICOM_FORM_TEXT,    /* strings, backslash separated */
    DICOM_FORM_WHOLE,   /* one string: a backslash is a character */
    DICOM_FORM_NAME,    /* PN */
    DICOM_FORM_DECIMAL, /* DS, IS */
    DICOM_FORM_NUMBER,  /* US ... FD, AT */
    DICOM_FORM_BINARY
} dicom_form_t;

dicom_form_t dicom_json_form(uint16_t vr);

/* Bytes of one value of a binary number VR or of a unit of OB..OV (for swapping). */
unsigned dicom_json_unit(uint16_t vr);

/*
 * Appends ,"Value":[...] or nothing when the value is empty. charset NULL: the default repertoire;
 * scratch is used for decoding and may hold anything.
 */
void dicom_json_values(buffer_t *out, const dicom_token_t *token, uint16_t vr,
                       dicom_charset_t *charset, buffer_t *scratch);

/* Appends ,"InlineBinary":"...": base64 of the value in little endian order.  PS3.18 F.2.7 */
void dicom_json_inline_binary(buffer_t *out, const dicom_token_t *token, uint16_t vr,
                              buffer_t *scratch);

/* Appends a string with its quotes; text is well-formed UTF-8. RFC 8259 7 */
void dicom_json_string(buffer_t *out, const uint8_t *text, size_t length);

#endif
