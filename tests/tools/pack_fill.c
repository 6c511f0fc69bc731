/*
 * Fills a data folder with sealed packs of small instances, as many as asked for, through the same
 * writer as every way in: what a rebuild is measured on.
 *
 *   pack_fill DATA INSTANCES [BYTES]     BYTES of pixels in each (3000)
 */
#include "base/clock.h"
#include "base/memory.h"
#include "dicom/transfer_syntax.h"
#include "pack/instance.h"
#include "synthetic.h"

#include <stdlib.h>
#include <sys/stat.h>

enum { PACK_INSTANCES = 20000 };

static void pixels_put(buffer_t *dataset, uint32_t length)
{
    const uint8_t head[12] = {0xE0,
                              0x7F,
                              0x10,
                              0,
                              'O',
                              'W',
                              0,
                              0,
                              (uint8_t)length,
                              (uint8_t)(length >> 8),
                              (uint8_t)(length >> 16),
                              0};
    buffer_append(dataset, head, sizeof head);
    for (uint32_t i = 0; i < length; i++)
        buffer_append_byte(dataset, (uint8_t)(i * 7));
}

static void instance_write(pack_writer_t *writer, uint64_t number, uint32_t pixels)
{
    AUTO_BUFFER dataset = {0};
    instance_t instance;
    instance_make(number, &instance);
    dataset_make(number, &instance, &dataset);
    uint64_t pixel_data = dataset.length;
    pixels_put(&dataset, pixels);
    Pack__Provenance provenance = PACK__PROVENANCE__INIT;
    provenance.received_us = (uint64_t)clock_wall_us();
    provenance.source = (char *)"import";
    provenance.sop_class_uid = (char *)SYNTHETIC_SOP_CLASS;
    provenance.sop_instance_uid = instance.sop;
    provenance.study_instance_uid = instance.study.uid;
    provenance.series_instance_uid = instance.series;
    size_t length = pack__provenance__get_packed_size(&provenance);
    AUTO_FREE uint8_t *bytes = memory_allocate(length);
    pack__provenance__pack(&provenance, bytes);
    pack_record_t record = {.pixel_data_offset = pixel_data,
                            .pixel_value_offset = pixel_data + 12,
                            .pixel_value_length = pixels};
    snprintf(record.transfer_syntax_uid, sizeof record.transfer_syntax_uid, "%s",
             DICOM_EXPLICIT_LITTLE);
    MUST(pack_writer_begin(writer, PACK_RECORD_INSTANCE, length));
    MUST(pack_writer_append(writer, dataset.data, dataset.length));
    MUST(pack_writer_commit(writer, bytes, length, &record));
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: pack_fill DATA INSTANCES [BYTES]\n");
        return 2;
    }
    uint64_t count = strtoull(argv[2], NULL, 10);
    uint32_t pixels = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 3000;
    static const char *const folders[] = {"", "/packs", "/packs/open"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        AUTO_FREE char *path = memory_format("%s%s", argv[1], folders[i]);
        (void)mkdir(path, 0700);
    }
    for (uint64_t number = 0; number < count;) {
        pack_writer_t *writer = NULL;
        MUST(pack_writer_create(argv[1], &writer));
        for (uint64_t i = 0; i < PACK_INSTANCES && number < count; i++)
            instance_write(writer, number++, pixels);
        MUST(pack_writer_seal(argv[1], &writer));
    }
    return 0;
}
