#include "dicom/recode.h"

#include "../../unit/dicom/recoded.h"
#include "dicom/json.h"
#include "dicom/reader.h"
#include "pick_syntax.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A value that recoding makes longer by its padding, or whose cut the JSON leaves out. */
static bool has_odd_value(const uint8_t *dataset, size_t length, const char *syntax)
{
    dicom_reader_t reader;
    dicom_token_t token;
    dicom_reader_init(&reader, dataset, length, dicom_transfer_syntax_find(syntax));
    while (dicom_reader_next(&reader, &token) == STATUS_OK && token.kind != DICOM_TOKEN_END)
        if (token.length % 2 || (token.cut && (token.length == 0 || token.vr >> 8 != 'O')))
            return true;
    return false;
}

/* The same attributes and values in both; what is not bulk is in the JSON whole. */
static void compare(const uint8_t *dataset, size_t length, const char *syntax,
                    const buffer_t *recoded)
{
    static const dicom_json_options_t options = {.bulk_data_uri = "/b", .inline_max = 1 << 20};
    AUTO_BUFFER before = {0};
    AUTO_BUFFER after = {0};
    if (dicom_json_write(dataset, length, syntax, &options, &before) != STATUS_OK ||
        dicom_json_write(recoded->data, recoded->length, DICOM_EXPLICIT_LITTLE, &options, &after) !=
            STATUS_OK)
        abort();
    if (!has_odd_value(dataset, length, syntax) &&
        strcmp(buffer_text(&before), buffer_text(&after)) != 0)
        abort();
}

/* What was recoded needs no recoding. */
static void check_stays(const buffer_t *recoded)
{
    dicom_recoded_t again;
    AUTO_BUFFER bytes = {0};
    if (dicom_recode(recoded->data, recoded->length, DICOM_EXPLICIT_LITTLE, &again) != STATUS_OK)
        abort();
    append_recoded(&again, recoded->data, &bytes);
    if (bytes.length != recoded->length ||
        (bytes.length && memcmp(bytes.data, recoded->data, bytes.length) != 0))
        abort();
    dicom_recoded_destroy(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const char *syntax = pick_syntax(data[0]);
    const uint8_t *dataset = data + 1;
    dicom_recoded_t recoded;
    status_t status = dicom_recode(dataset, size - 1, syntax, &recoded);
    if (status != STATUS_OK) {
        if (status != STATUS_INVALID && status != STATUS_TOO_LARGE && status != STATUS_UNSUPPORTED)
            abort();
        return 0;
    }
    AUTO_BUFFER bytes = {0};
    append_recoded(&recoded, dataset, &bytes);
    if (bytes.length != recoded.length)
        abort();
    dicom_recoded_destroy(&recoded);
    compare(dataset, size - 1, syntax, &bytes);
    check_stays(&bytes);
    return 0;
}
