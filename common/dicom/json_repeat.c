#include "dicom/json_repeat.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

#define TAG_CHARSET DICOM_TAG(0x0008, 0x0005)

enum { DATASET_MAX = 256 * 1024, JSON_MAX = 1024 * 1024 }; /* of one that is remembered */

typedef struct {
    size_t offset, length; /* of the value; length 0: the default repertoire */
} charset_t;

struct dicom_json_repeat {
    buffer_t dataset, json;
    size_t first; /* what start and end of the entries count from */
    dicom_json_entry_t *entries;
    size_t count, next; /* next: the first that has not been passed */
    bool explicit_vr, big_endian;
    charset_t charset;
    charset_t charset_now; /* so far, of the dataset that is being written */
    bool is_alike;         /* both are read in the same way */
};

dicom_json_repeat_t *dicom_json_repeat_create(void)
{
    return memory_allocate(sizeof(dicom_json_repeat_t));
}

void dicom_json_repeat_destroy(dicom_json_repeat_t **repeat)
{
    if (!*repeat)
        return;
    buffer_destroy(&(*repeat)->dataset);
    buffer_destroy(&(*repeat)->json);
    free((*repeat)->entries);
    free(*repeat);
    *repeat = NULL;
}

/* ---- while a dataset is written --------------------------------------------------------------- */

static bool has_same_charset(const dicom_json_repeat_t *repeat, const uint8_t *value)
{
    size_t length = repeat->charset_now.length;
    return length == repeat->charset.length &&
           (length == 0 ||
            memcmp(repeat->dataset.data + repeat->charset.offset, value, length) == 0);
}

static void compare(dicom_json_repeat_t *repeat, const dicom_reader_t *reader, const uint8_t *value)
{
    repeat->is_alike = repeat->explicit_vr == reader->explicit_vr &&
                       repeat->big_endian == reader->big_endian && has_same_charset(repeat, value);
}

void dicom_json_repeat_begin(dicom_json_repeat_t *repeat, const dicom_reader_t *reader)
{
    if (!repeat)
        return;
    repeat->next = 0;
    repeat->charset_now = (charset_t){0, 0};
    compare(repeat, reader, reader->bytes);
}

const dicom_json_entry_t *dicom_json_repeat_find(dicom_json_repeat_t *repeat,
                                                 const dicom_reader_t *reader,
                                                 const uint8_t **out_text)
{
    if (!repeat || !repeat->is_alike || repeat->next == repeat->count)
        return NULL;
    const dicom_json_entry_t *entry = &repeat->entries[repeat->next];
    if (entry->size == 0 || entry->size > reader->length - reader->position ||
        memcmp(repeat->dataset.data + entry->offset, reader->bytes + reader->position,
               entry->size) != 0)
        return NULL;
    repeat->next++;
    *out_text = repeat->json.data + (entry->start - repeat->first);
    return entry;
}

void dicom_json_repeat_note(dicom_json_repeat_t *repeat, const dicom_reader_t *reader,
                            const dicom_token_t *token)
{
    if (!repeat)
        return;
    while (repeat->next < repeat->count && repeat->entries[repeat->next].tag <= token->tag)
        repeat->next++;
    if (token->tag == TAG_CHARSET && token->kind != DICOM_TOKEN_SEQUENCE) {
        repeat->charset_now = (charset_t){token->value_offset, token->length};
        compare(repeat, reader, token->value);
    }
}

/* ---- between two ------------------------------------------------------------------------------ */

void dicom_json_repeat_keep(dicom_json_repeat_t *repeat, const dicom_reader_t *reader,
                            const buffer_t *json, size_t first, dicom_json_entry_t **entries,
                            size_t count)
{
    if (!repeat || reader->length > DATASET_MAX || json->length - first > JSON_MAX)
        return;
    buffer_clear(&repeat->dataset);
    buffer_append(&repeat->dataset, reader->bytes, reader->length);
    buffer_clear(&repeat->json);
    buffer_append(&repeat->json, json->data + first, json->length - first);
    free(repeat->entries);
    repeat->entries = *entries;
    *entries = NULL;
    repeat->first = first;
    repeat->count = count;
    repeat->explicit_vr = reader->explicit_vr;
    repeat->big_endian = reader->big_endian;
    repeat->charset = repeat->charset_now;
}
