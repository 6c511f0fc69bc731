#ifndef ZPACS_DICOM_FILE_H
#define ZPACS_DICOM_FILE_H

#include "base/buffer.h"
#include "base/status.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DICOM_FILE_META_MAX = 64 * 1024, /* bytes of preamble and meta we take */
    DICOM_FILE_HEAD_MAX = 132 + DICOM_FILE_META_MAX
};

/* Who wrote the file meta group (PS3.7 D.3.3.2); also for the association's negotiation. */
#define DICOM_IMPLEMENTATION_CLASS_UID    "2.25.277445364503074605603752262065525238906"
#define DICOM_IMPLEMENTATION_VERSION_NAME "ZPACS_1"

/* Where the parts of a Part 10 file lie.                                            PS3.10 7.1 */
typedef struct {
    size_t dataset_offset;          /* preamble, prefix and file meta lie before it */
    uid_text_t transfer_syntax_uid; /* from the meta; guessed from the bytes when there is none */
    uid_text_t media_storage_sop_class_uid;    /* "" when missing */
    uid_text_t media_storage_sop_instance_uid; /* "" when missing */
    bool has_preamble, has_meta;
    const char *preamble_kind; /* what else the preamble makes of the file; NULL: nothing known */
} dicom_file_t;

/*
 * Finds the dataset in the first bytes of a file; files without preamble, without meta, or with a
 * bare meta group are read where they can be.
 *
 * head, length   the file's beginning: min(file size, DICOM_FILE_HEAD_MAX) bytes
 * Fails: INVALID (not DICOM; the sentence says why), TOO_LARGE (meta over the limit).
 */
status_t dicom_file_open(const uint8_t *head, size_t length, dicom_file_t *out_file);

/*
 * Appends 128 zero bytes, "DICM" and a rebuilt file meta group.              PS3.10 7.1,
 * table 7.1-1
 */
void dicom_file_write_head(buffer_t *out, const char *sop_class_uid, const char *sop_instance_uid,
                           const char *transfer_syntax_uid, const char *source_ae_title);

/* Limits for a dataset that somebody sent: what is taken in, the index must be able to read too. */
enum { DICOM_INFLATE_MAX = 256 * 1024 * 1024, DICOM_INFLATE_RATIO_MAX = 200 };

/*
 * The transfer syntax that the first bytes of a dataset look like: explicit VR little or big
 * endian, implicit VR little endian; NULL when like none.
 */
const char *dicom_transfer_syntax_guess(const uint8_t *bytes, size_t length);

/*
 * Inflates a deflated dataset (PS3.5 A.5).
 * Fails: INVALID (not a deflate stream), TOO_LARGE (over limit bytes or over ratio times length).
 */
status_t dicom_inflate(const uint8_t *bytes, size_t length, size_t limit, unsigned ratio,
                       buffer_t *out_dataset);

/* The same in two steps, for who wants to know the size before memory is taken. */
status_t dicom_inflated_size(const uint8_t *bytes, size_t length, size_t limit, unsigned ratio,
                             size_t *out_size);
status_t dicom_inflate_sized(const uint8_t *bytes, size_t length, size_t size,
                             buffer_t *out_dataset);

#endif
