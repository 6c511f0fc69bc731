/*
 * Prints the DICOM JSON of Part 10 files, one line each: for the differential test.
 *
 *   dicom_json [--bulk PREFIX] [--inline N] file ...
 *
 * A file that is refused gives {"error":"..."}; the exit status is 0 all the same.
 */
#include "base/memory.h"
#include "dicom/json.h"
#include "part10.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static status_t write_json(const buffer_t *bytes, const dicom_json_options_t *options,
                           buffer_t *out)
{
    dicom_file_t file;
    AUTO_BUFFER inflated = {0};
    const uint8_t *dataset;
    size_t length;
    TRY(part10_dataset(bytes, &file, &inflated, &dataset, &length));
    return dicom_json_write(dataset, length, file.transfer_syntax_uid, options, out);
}

int main(int argc, char **argv)
{
    dicom_json_options_t options = {.inline_max = SIZE_MAX};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--bulk") == 0 && i + 1 < argc) {
            options.bulk_data_uri = argv[++i];
            continue;
        }
        uint64_t number;
        if (strcmp(argv[i], "--inline") == 0 && i + 1 < argc &&
            text_to_uint64(argv[i + 1], &number)) {
            options.inline_max = number;
            i++;
            continue;
        }
        AUTO_BUFFER bytes = {0};
        AUTO_BUFFER json = {0};
        if (!part10_read(argv[i], &bytes)) {
            perror(argv[i]);
            return 1;
        }
        if (write_json(&bytes, &options, &json) != STATUS_OK) {
            buffer_append_text(&json, "{\"error\":");
            buffer_append_json(&json, fail_detail(), strlen(fail_detail()));
            buffer_append_byte(&json, '}');
        }
        puts(buffer_text(&json));
    }
    return 0;
}
