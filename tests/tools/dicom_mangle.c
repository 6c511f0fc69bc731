/*
 * Reads files as the network might deliver them: truncated at random places and with bits flipped.
 *
 *   dicom_mangle COUNT file ...
 *
 * Each file is read COUNT times truncated and COUNT times with one to four bits flipped, by all
 * entries of common/dicom. Every copy has its own block of exactly its size, so that a sanitizer
 * build sees each byte read too far. Prints how many copies were read to their end.
 */
#include "base/buffer.h"
#include "base/memory.h"
#include "base/text.h"
#include "dicom/file.h"
#include "dicom/frames.h"
#include "dicom/instance.h"
#include "dicom/json.h"
#include "dicom/transfer_syntax.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PART_MAX = 12 * 1024 }; /* where the headers are; the rest is pixels */

static uint64_t accepted, refused;

static void count(status_t status)
{
    if (status == STATUS_OK)
        accepted++;
    else if (status == STATUS_INTERNAL || !*fail_detail())
        abort();
    else
        refused++;
}

static void read_dataset(const uint8_t *dataset, size_t length, const char *syntax)
{
    static const dicom_json_options_t options = {.bulk_data_uri = "b", .inline_max = 64};
    AUTO_BUFFER json = {0};
    count(dicom_json_write(dataset, length, syntax, &options, &json));
    dicom_frames_t *frames = NULL;
    count(dicom_frames_locate(dataset, length, syntax, &frames));
    for (uint32_t i = 0; frames && i < frames->span_count; i++)
        if (frames->spans[i].offset + frames->spans[i].length > length)
            abort();
    dicom_frames_destroy(&frames);
    const uint8_t *value;
    size_t value_length;
    uint16_t vr;
    bool encapsulated;
    count(dicom_bulk_find(dataset, length, syntax, "7FE00010", &value, &value_length, &vr,
                          &encapsulated));
}

static void read_file(const uint8_t *bytes, size_t length)
{
    dicom_file_t file;
    size_t head = length < DICOM_FILE_HEAD_MAX ? length : DICOM_FILE_HEAD_MAX;
    status_t status = dicom_file_open(bytes, head, &file);
    count(status);
    if (status != STATUS_OK)
        return;
    const uint8_t *dataset = bytes + file.dataset_offset;
    length -= file.dataset_offset;
    dicom_instance_t instance;
    count(dicom_instance_scan(dataset, length, file.transfer_syntax_uid, &instance));
    AUTO_BUFFER inflated = {0};
    if (dicom_transfer_syntax_find(file.transfer_syntax_uid)->deflated) {
        status =
            dicom_inflate(dataset, length, DICOM_INFLATE_MAX, DICOM_INFLATE_RATIO_MAX, &inflated);
        count(status);
        if (status != STATUS_OK)
            return;
        dataset = inflated.data;
        length = inflated.length;
    }
    read_dataset(dataset, length, file.transfer_syntax_uid);
}

/* SplitMix64: the same copies in every run. */
static uint64_t random_next(uint64_t *state)
{
    uint64_t value = *state += 0x9E3779B97F4A7C15u;
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9u;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBu;
    return value ^ (value >> 31);
}

static void mangle(const uint8_t *bytes, size_t length, uint64_t times, uint64_t *seed)
{
    for (uint64_t i = 0; i < times; i++) {
        size_t cut = random_next(seed) % length;
        AUTO_FREE uint8_t *shorter = memory_copy(bytes, cut);
        read_file(shorter, cut);
        AUTO_FREE uint8_t *flipped = memory_copy(bytes, length);
        for (uint64_t flips = 1 + random_next(seed) % 4; flips; flips--) {
            uint64_t bit = random_next(seed) % (length * 8);
            flipped[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        read_file(flipped, length);
    }
}

int main(int argc, char **argv)
{
    uint64_t times, seed = 20221;
    if (argc < 3 || !text_to_uint64(argv[1], &times))
        return 2;
    AUTO_FREE uint8_t *bytes = memory_allocate(PART_MAX);
    for (int i = 2; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        if (!file) {
            perror(argv[i]);
            return 1;
        }
        size_t length = fread(bytes, 1, PART_MAX, file);
        fclose(file);
        if (length)
            mangle(bytes, length, times, &seed);
    }
    printf("%" PRIu64 " accepted, %" PRIu64 " refused\n", accepted, refused);
    return 0;
}
