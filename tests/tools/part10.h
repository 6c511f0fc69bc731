#ifndef ZPACS_TESTS_TOOLS_PART10_H
#define ZPACS_TESTS_TOOLS_PART10_H

#include "base/buffer.h"
#include "dicom/file.h"
#include "dicom/transfer_syntax.h"

#include <stdbool.h>
#include <stdio.h>

static inline bool part10_read(const char *path, buffer_t *out)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    size_t got;
    do {
        buffer_reserve(out, 1 << 20);
        got = fread(out->data + out->length, 1, 1 << 20, file);
        out->length += got;
    } while (got);
    fclose(file);
    return true;
}

/* The dataset of a file, inflated into inflated (which must outlive it) when it is a deflated one. */
static inline status_t part10_dataset(const buffer_t *bytes, dicom_file_t *out_file,
                                      buffer_t *inflated, const uint8_t **out_dataset,
                                      size_t *out_length)
{
    size_t head = bytes->length < DICOM_FILE_HEAD_MAX ? bytes->length : DICOM_FILE_HEAD_MAX;
    TRY(dicom_file_open(bytes->data, head, out_file));
    const uint8_t *dataset = bytes->data + out_file->dataset_offset;
    size_t length = bytes->length - out_file->dataset_offset;
    if (dicom_transfer_syntax_find(out_file->transfer_syntax_uid)->deflated) {
        TRY(dicom_inflate(dataset, length, DICOM_INFLATE_MAX, DICOM_INFLATE_RATIO_MAX, inflated));
        dataset = inflated->data;
        length = inflated->length;
    }
    *out_dataset = dataset;
    *out_length = length;
    return STATUS_OK;
}

#endif
