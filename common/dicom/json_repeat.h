#ifndef ZPACS_DICOM_JSON_REPEAT_H
#define ZPACS_DICOM_JSON_REPEAT_H

#include "base/buffer.h"
#include "dicom/json.h"
#include "dicom/reader.h"

/*
 * The dataset that was written last, and its JSON: the inside of dicom_json_repeat_t, for json.c.
 *
 *     dataset   | element | element | element |     json   | key and value | key and value |
 *                 └─ offset, size ┘                          └─ start .. end ┘
 *
 * The text of a top-level element is that of its bytes alone when each VR in it stands in the stream,
 * the character set is the same, and it names no instance.
 */

/* An attribute written: where its text lies in the JSON, and what it was made of. */
typedef struct {
    uint32_t tag;
    size_t start, end;
    size_t offset, size; /* in the dataset; size 0: its bytes alone do not tell its text */
} dicom_json_entry_t;

/* Begins a dataset. repeat may be NULL here and below. */
void dicom_json_repeat_begin(dicom_json_repeat_t *repeat, const dicom_reader_t *reader);

/* The entry whose bytes come next, and its text; NULL: it must be written anew. */
const dicom_json_entry_t *dicom_json_repeat_find(dicom_json_repeat_t *repeat,
                                                 const dicom_reader_t *reader,
                                                 const uint8_t **out_text);

/* Takes note of a top-level token that was read instead. */
void dicom_json_repeat_note(dicom_json_repeat_t *repeat, const dicom_reader_t *reader,
                            const dicom_token_t *token);

/*
 * Remembers a dataset that has been written, instead of the one before; not one that is too large.
 *
 * json     its object; start and end of the entries count from its buffer's beginning, first
 * entries  of top level, in the order of the dataset; taken when it becomes NULL
 */
void dicom_json_repeat_keep(dicom_json_repeat_t *repeat, const dicom_reader_t *reader,
                            const buffer_t *json, size_t first, dicom_json_entry_t **entries,
                            size_t count);

#endif
