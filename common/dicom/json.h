#ifndef ZPACS_DICOM_JSON_H
#define ZPACS_DICOM_JSON_H

#include "base/buffer.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What was written last: given to the next of a run that is written with the same options, it saves
 * writing again what both say in the same bytes, as images of a series do nearly everywhere. The JSON
 * is the same with and without.
 */
typedef struct dicom_json_repeat dicom_json_repeat_t;
dicom_json_repeat_t *dicom_json_repeat_create(void);
void dicom_json_repeat_destroy(dicom_json_repeat_t **repeat);

/*
 * The DICOM JSON Model.                                                             PS3.18 F
 *
 * Complete: PN component groups, multi-values, DS and IS as numbers where they are numbers, SV and
 * UV, AT, private and UN elements, OB..OV, sequences. (0008,0005) becomes ISO_IR 192. Group lengths
 * (gggg,0000), group 0002 and the trailing padding (FFFC,FFFC) are left out. Keys come in ascending
 * order even when the file's do not; of a doubled tag the last counts.
 *
 * Pixel data at top level (7FE0,0008/0009/0010) and fragments are bulk whatever their size. An
 * element that the end of the bytes cuts is left out unless it is bulk, so a prefix up to the pixel
 * data gives the same JSON as the whole dataset. Not finite numbers become "NaN", "Infinity",
 * "-Infinity"; SV and UV beyond 2^53 become strings.
 */
typedef struct {
    const char *bulk_data_uri; /* prefix of BulkDataURI: "<prefix>/<8 hex digits>" at top level and
                                  "<prefix>/<tag>/<item from 1>/<tag>..." inside sequences; NULL:
                                  bulk is left out as an element with only its vr */
    size_t inline_max;         /* a binary value up to this many bytes becomes InlineBinary */
    size_t text_inline_max;    /* a UT, LT, ST, UN value over this becomes bulk; 0: never */
    const uint32_t *only_tags; /* NULL: all; else these top-level tags, ascending */
    size_t only_count;
    bool stop_before_pixel_data;
    dicom_json_repeat_t *repeat; /* NULL: none */
} dicom_json_options_t;

/*
 * Appends one JSON object. dataset is inflated already when the transfer syntax is deflated.
 * Fails as dicom_reader_next() does; then out is as before.
 */
status_t dicom_json_write(const uint8_t *dataset, size_t length, const char *transfer_syntax_uid,
                          const dicom_json_options_t *options, buffer_t *out_json);

/*
 * The bytes behind a path of a BulkDataURI ("7FE00010", "00540016/1/00181078").
 * dataset is inflated already when the transfer syntax is deflated. The value is as it is stored,
 * in the order of bytes of the transfer syntax.
 *
 * out_value points into dataset; out_encapsulated: it spans the fragments of pixel data.
 * Fails: NOT_FOUND, INVALID (malformed path), and as dicom_reader_next() does.
 */
status_t dicom_bulk_find(const uint8_t *dataset, size_t length, const char *transfer_syntax_uid,
                         const char *path, const uint8_t **out_value, size_t *out_length,
                         uint16_t *out_vr, bool *out_encapsulated);

#endif
