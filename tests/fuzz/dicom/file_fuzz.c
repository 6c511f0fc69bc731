#include "dicom/file.h"
#include "dicom/instance.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dicom_file_t file;
    size_t head = size < DICOM_FILE_HEAD_MAX ? size : DICOM_FILE_HEAD_MAX;
    if (dicom_file_open(data, head, &file) != STATUS_OK)
        return 0;
    if (file.dataset_offset > size || !uid_is_valid(file.transfer_syntax_uid))
        abort();
    size_t length = size - file.dataset_offset;
    dicom_instance_t instance;
    if (dicom_instance_scan(data + file.dataset_offset, length, file.transfer_syntax_uid,
                            &instance) != STATUS_OK)
        return 0;
    if (!instance.sop_class_uid[0] || !instance.sop_instance_uid[0] ||
        !instance.study_instance_uid[0] || !instance.series_instance_uid[0])
        abort();
    if (instance.pixel_data_offset > instance.pixel_value_offset)
        abort();
    return 0;
}
