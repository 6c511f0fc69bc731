#include "dicom/json.h"

#include "pick_syntax.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint32_t some_tags[] = {0x00080005, 0x00080018, 0x00100010, 0x0020000D};

/* Each address that the JSON gives leads to a value: both walks see the same tree. */
static void follow_bulk(const uint8_t *dataset, size_t length, const char *syntax, buffer_t *json)
{
    static const char mark[] = "\"BulkDataURI\":\"\x01/";
    const char *text = buffer_text(json);
    unsigned budget = 64;
    for (const char *at = text; (at = strstr(at, "\"BulkDataURI\":\"\\u0001/")) && budget--;) {
        at += sizeof mark - 1 + 5;
        char path[1024];
        size_t span = strcspn(at, "\"");
        if (span >= sizeof path)
            continue;
        memcpy(path, at, span);
        path[span] = 0;
        const uint8_t *value;
        size_t value_length;
        uint16_t vr;
        bool encapsulated;
        if (dicom_bulk_find(dataset, length, syntax, path, &value, &value_length, &vr,
                            &encapsulated) != STATUS_OK)
            abort();
        if (value < dataset || value + value_length > dataset + length)
            abort();
    }
}

/*
 * The JSON is the same when it may repeat what a dataset before said: both are made of the input, the
 * second without some bytes in its middle.
 */
static void repeat(const uint8_t *dataset, size_t length, const char *syntax,
                   const dicom_json_options_t *plain)
{
    AUTO_BUFFER other = {0};
    AUTO_BUFFER want = {0};
    AUTO_BUFFER json = {0};
    dicom_json_options_t options = *plain;
    size_t at = length ? dataset[length - 1] % (length + 1) : 0, size = (length - at) / 2;
    buffer_append(&other, dataset, at);
    buffer_append(&other, dataset + at + size, length - at - size);
    options.repeat = dicom_json_repeat_create();
    (void)buffer_text(&other); /* no NULL */
    (void)dicom_json_write(dataset, length, syntax, &options, &json);
    buffer_clear(&json);
    status_t status = dicom_json_write(other.data, other.length, syntax, &options, &json);
    if (dicom_json_write(other.data, other.length, syntax, plain, &want) != status ||
        json.length != want.length ||
        (json.length > 0 && memcmp(json.data, want.data, json.length) != 0))
        abort();
    dicom_json_repeat_destroy(&options.repeat);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const char *syntax = pick_syntax(data[0]);
    dicom_json_options_t options = {
        /* no text of a dataset can look like this prefix: its \ is escaped there */
        .bulk_data_uri = data[0] & 4 ? NULL : "\x01",
        .inline_max = data[0] & 8 ? 0 : 16,
        .text_inline_max = data[0] & 16 ? 32 : 0,
        .only_tags = data[0] & 32 ? some_tags : NULL,
        .only_count = sizeof some_tags / sizeof *some_tags,
        .stop_before_pixel_data = data[0] & 64,
    };
    repeat(data + 1, size - 1, syntax, &options);
    AUTO_BUFFER json = {0};
    if (dicom_json_write(data + 1, size - 1, syntax, &options, &json) == STATUS_OK) {
        if (json.length < 2 || json.data[0] != '{' || json.data[json.length - 1] != '}')
            abort();
        AUTO_BUFFER again = {0};
        buffer_append_json(&again, (const char *)json.data, json.length);
        const char replacement[] = "\xEF\xBF\xBD"; /* more of them: it was not UTF-8 */
        size_t before = 0, after = 0;
        const char *at = buffer_text(&json);
        while ((at = strstr(at, replacement)))
            at += 3, before++;
        at = buffer_text(&again);
        while ((at = strstr(at, replacement)))
            at += 3, after++;
        if (before != after || strlen(buffer_text(&json)) != json.length)
            abort();
        if (!options.stop_before_pixel_data) /* else what follows may be broken, unseen */
            follow_bulk(data + 1, size - 1, syntax, &json);
    } else if (json.length) {
        abort();
    }
    return 0;
}
