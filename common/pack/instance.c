#include "pack/instance.h"

#include "base/clock.h"
#include "base/memory.h"

#include <string.h>

enum {
    PREAMBLE_SIZE = 128,
    PREFIX_SIZE = 4, /* "DICM" */
};

static bool is_zero(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (bytes[i])
            return false;
    return true;
}

void pack_provenance_take_head(Pack__Provenance *provenance, const dicom_file_t *file,
                               const uint8_t *head)
{
    size_t end = file->dataset_offset;
    size_t start = file->has_preamble ? PREAMBLE_SIZE : 0;
    if (file->has_preamble && !is_zero(head, PREAMBLE_SIZE))
        provenance->preamble = (ProtobufCBinaryData){PREAMBLE_SIZE, (uint8_t *)(uintptr_t)head};
    if (end >= start + PREFIX_SIZE && memcmp(head + start, "DICM", PREFIX_SIZE) == 0)
        start += PREFIX_SIZE;
    if (file->has_meta && end > start)
        provenance->file_meta =
            (ProtobufCBinaryData){end - start, (uint8_t *)(uintptr_t)(head + start)};
}

status_t pack_commit_instance(pack_writer_t *writer, const dicom_instance_t *instance,
                              const char *transfer_syntax_uid, const Pack__Provenance *source,
                              pack_record_t *out_record)
{
    Pack__Provenance provenance = *source;
    provenance.received_us = (uint64_t)clock_wall_us();
    provenance.sop_class_uid = (char *)(uintptr_t)instance->sop_class_uid;
    provenance.sop_instance_uid = (char *)(uintptr_t)instance->sop_instance_uid;
    provenance.study_instance_uid = (char *)(uintptr_t)instance->study_instance_uid;
    provenance.series_instance_uid = (char *)(uintptr_t)instance->series_instance_uid;
    size_t length = pack__provenance__get_packed_size(&provenance);
    AUTO_FREE uint8_t *packed = memory_allocate(length);
    pack__provenance__pack(&provenance, packed);

    pack_record_t record = {.pixel_data_offset = instance->pixel_data_offset,
                            .pixel_value_offset = instance->pixel_value_offset,
                            .pixel_value_length = instance->pixel_value_length};
    if (!uid_copy(record.transfer_syntax_uid, transfer_syntax_uid, strlen(transfer_syntax_uid)))
        return fail(STATUS_INVALID, "Transfer Syntax UID over %d bytes", UID_LENGTH_MAX);
    TRY(pack_writer_commit(writer, packed, length, &record));
    *out_record = record;
    return STATUS_OK;
}
