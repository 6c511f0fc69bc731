#ifndef ZPACS_DICOM_TRANSFER_SYNTAX_H
#define ZPACS_DICOM_TRANSFER_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>

/* What the reader and the media types need to know of a transfer syntax. PS3.5 10, PS3.18 8.7.3 */
typedef struct {
    const char *uid;
    const char *name;
    bool explicit_vr;
    bool big_endian;
    bool encapsulated;
    bool deflated;
    bool lossy;             /* may lose information */
    const char *media_type; /* of a frame: "image/jpeg", "application/octet-stream" when native */
} dicom_transfer_syntax_t;

#define DICOM_IMPLICIT_LITTLE "1.2.840.10008.1.2"
#define DICOM_EXPLICIT_LITTLE "1.2.840.10008.1.2.1"
#define DICOM_DEFLATED_LITTLE "1.2.840.10008.1.2.1.99"
#define DICOM_EXPLICIT_BIG    "1.2.840.10008.1.2.2"

/*
 * Never NULL: a UID that is not in the table is taken as encapsulated explicit VR little endian,
 * which every standard compressed syntax is (PS3.5 A.4); then uid is "".
 */
const dicom_transfer_syntax_t *dicom_transfer_syntax_find(const char *uid);

/* All known ones in a row, the preferred first; ends with uid NULL. */
const dicom_transfer_syntax_t *dicom_transfer_syntax_table(void);

#endif
