#include "dicom/json.h"
#include "dicom/reader.h"

typedef struct {
    unsigned count; /* of tags */
    uint32_t tags[DICOM_NESTING_MAX + 1];
    uint32_t items[DICOM_NESTING_MAX + 1]; /* from 1; of the sequence with the tag beside it */
} path_t;

static bool parse_tag(const char **text, uint32_t *out_tag)
{
    uint32_t tag = 0;
    for (int i = 0; i < 8; i++) {
        char c = *(*text)++;
        if (c >= '0' && c <= '9')
            tag = tag << 4 | (uint32_t)(c - '0');
        else if (c >= 'A' && c <= 'F')
            tag = tag << 4 | (uint32_t)(c - 'A' + 10);
        else if (c >= 'a' && c <= 'f')
            tag = tag << 4 | (uint32_t)(c - 'a' + 10);
        else
            return false;
    }
    *out_tag = tag;
    return true;
}

static bool parse_item(const char **text, uint32_t *out_item)
{
    uint32_t item = 0;
    const char *start = *text;
    for (; **text >= '0' && **text <= '9' && *text - start < 9; (*text)++)
        item = item * 10 + (uint32_t)(**text - '0');
    *out_item = item;
    return item > 0;
}

/* TAG ("/" ITEM "/" TAG)* */
static bool parse_path(const char *text, path_t *out_path)
{
    out_path->count = 0;
    for (;;) {
        unsigned i = out_path->count;
        if (i > DICOM_NESTING_MAX || !parse_tag(&text, &out_path->tags[i]))
            return false;
        out_path->count++;
        if (!*text)
            return true;
        if (*text++ != '/' || !parse_item(&text, &out_path->items[i]) || *text++ != '/')
            return false;
    }
}

/*
 * The token that the path leads to; of doubled tags the last, as in the JSON, so the walk goes on to
 * the end.
 */
static status_t walk(dicom_reader_t *reader, const path_t *path, dicom_token_t *out_token)
{
    unsigned level = 0; /* tags[0..level) are open */
    uint32_t item = 0;
    bool in_sequence = false, found = false;
    for (;;) {
        dicom_token_t token;
        TRY(dicom_reader_next(reader, &token));
        switch (token.kind) {
        case DICOM_TOKEN_END:
            return found ? STATUS_OK : fail(STATUS_NOT_FOUND, "no such value in the instance");
        case DICOM_TOKEN_ITEM:
            if (in_sequence && token.depth == level + 1 && ++item == path->items[level]) {
                level++;
                in_sequence = false;
            }
            break;
        case DICOM_TOKEN_ITEM_END:
            if (token.depth == level)
                level--;
            break;
        case DICOM_TOKEN_SEQUENCE:
            if (token.depth == level && token.tag == path->tags[level] && level + 1 < path->count) {
                in_sequence = true;
                item = 0;
            } else {
                TRY(dicom_reader_skip_sequence(reader));
            }
            break;
        case DICOM_TOKEN_SEQUENCE_END:
            if (token.depth == level)
                in_sequence = false;
            break;
        case DICOM_TOKEN_ELEMENT:
        case DICOM_TOKEN_ENCAPSULATED:
            if (token.depth == level && token.tag == path->tags[level] &&
                level + 1 == path->count) {
                *out_token = token;
                found = true;
            }
            break;
        }
    }
}

status_t dicom_bulk_find(const uint8_t *dataset, size_t length, const char *transfer_syntax_uid,
                         const char *path, const uint8_t **out_value, size_t *out_length,
                         uint16_t *out_vr, bool *out_encapsulated)
{
    path_t steps;
    if (!parse_path(path, &steps))
        return fail(STATUS_INVALID, "not a path of a bulk data URI");
    dicom_reader_t reader;
    dicom_reader_init(&reader, dataset, length, dicom_transfer_syntax_find(transfer_syntax_uid));
    dicom_token_t token = {0};
    TRY(walk(&reader, &steps, &token));
    *out_value = token.value;
    *out_length = token.length;
    *out_vr = token.vr;
    *out_encapsulated = token.kind == DICOM_TOKEN_ENCAPSULATED;
    return STATUS_OK;
}
