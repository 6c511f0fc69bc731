/*
 * Prints where the frames of Part 10 files lie, one line each: for the differential test.
 *
 *   dicom_frames file ...
 *
 * Line: frame count and for each frame "bytes:CRC-32", or "error STATUS sentence".
 */
#include "dicom/frames.h"
#include "part10.h"

#include <inttypes.h>
#include <stdio.h>
#include <zlib.h>

static void print_frames(const uint8_t *dataset, const dicom_frames_t *frames)
{
    printf("%" PRIu32, frames->frame_count);
    for (uint32_t i = 0; i < frames->frame_count; i++) {
        uint32_t span = frames->encapsulated ? frames->frame_first[i] : i;
        uint32_t end = frames->encapsulated ? frames->frame_first[i + 1] : i + 1;
        uint64_t length = 0;
        uLong crc = crc32(0, NULL, 0);
        for (; span < end; span++) {
            crc =
                crc32(crc, dataset + frames->spans[span].offset, (uInt)frames->spans[span].length);
            length += frames->spans[span].length;
        }
        printf(" %" PRIu64 ":%08lx", length, crc);
    }
    putchar('\n');
}

static status_t print_file(const buffer_t *bytes)
{
    dicom_file_t file;
    AUTO_BUFFER inflated = {0};
    const uint8_t *dataset;
    size_t length;
    TRY(part10_dataset(bytes, &file, &inflated, &dataset, &length));
    dicom_frames_t *frames = NULL;
    TRY(dicom_frames_locate(dataset, length, file.transfer_syntax_uid, &frames));
    print_frames(dataset, frames);
    dicom_frames_destroy(&frames);
    return STATUS_OK;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        AUTO_BUFFER bytes = {0};
        if (!part10_read(argv[i], &bytes)) {
            perror(argv[i]);
            return 1;
        }
        status_t status = print_file(&bytes);
        if (status != STATUS_OK)
            printf("error %s %s\n", status_name(status), fail_detail());
    }
    return 0;
}
