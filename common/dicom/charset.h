#ifndef ZPACS_DICOM_CHARSET_H
#define ZPACS_DICOM_CHARSET_H

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Text of a value in its Specific Character Set, to UTF-8.         PS3.3 C.12.1.1.2, PS3.5 6.1
 * ISO 2022 switching, GB18030, GBK, UTF-8, and the field's misspellings ("ISO IR 100", "latin1").
 */
typedef struct dicom_charset dicom_charset_t;

/* value: the raw (0008,0005), backslash separated; NULL or empty is the default repertoire. */
dicom_charset_t *dicom_charset_open(const char *value, size_t length);
void dicom_charset_close(dicom_charset_t **charset);

/* Whether text is the same in UTF-8, so that there is nothing to decode: nearly all of it is. */
bool dicom_charset_is_plain(const dicom_charset_t *charset, const uint8_t *text, size_t length);

/*
 * Appends the UTF-8 form. Escape sequences are followed and end at delimiters: '\\' '^' '=' for PN
 * and line ends as the standard says. A byte that cannot be decoded becomes U+FFFD; never fails.
 * Bytes above 7F that no character set was declared for are UTF-8 if well formed, else ISO 8859-1.
 *
 * Decode a whole value, then split it at its backslashes: in some sets 5C is half a character.
 */
void dicom_charset_decode(dicom_charset_t *charset, uint16_t vr, const uint8_t *text, size_t length,
                          buffer_t *out_utf8);

#endif
