#include "dicom/instance.h"

#include "dicom/file.h"
#include "dicom/reader.h"

#include <string.h>

typedef struct {
    uint32_t tag;
    const char *name;
    size_t member; /* offset of the uid_text_t in dicom_instance_t */
} uid_row_t;

static const uid_row_t uid_rows[] = {
    {DICOM_TAG(0x0008, 0x0016), "SOP Class UID", offsetof(dicom_instance_t, sop_class_uid)},
    {DICOM_TAG(0x0008, 0x0018), "SOP Instance UID", offsetof(dicom_instance_t, sop_instance_uid)},
    {DICOM_TAG(0x0020, 0x000D), "Study Instance UID",
     offsetof(dicom_instance_t, study_instance_uid)},
    {DICOM_TAG(0x0020, 0x000E), "Series Instance UID",
     offsetof(dicom_instance_t, series_instance_uid)},
};

enum { UID_ROWS = sizeof uid_rows / sizeof *uid_rows };

static bool is_pixel_data(uint32_t tag)
{
    return tag == DICOM_TAG(0x7FE0, 0x0010) || tag == DICOM_TAG(0x7FE0, 0x0008) ||
           tag == DICOM_TAG(0x7FE0, 0x0009);
}

static char *uid_member(dicom_instance_t *instance, const uid_row_t *row)
{
    return (char *)instance + row->member;
}

/* One of the four UIDs, if the token is one; of a doubled tag the last counts, as in the JSON. */
static status_t take_uid(dicom_instance_t *instance, const dicom_token_t *token)
{
    for (unsigned i = 0; i < UID_ROWS; i++) {
        char *uid = uid_member(instance, &uid_rows[i]);
        if (uid_rows[i].tag != token->tag)
            continue;
        uid_text_t text = "";
        if (!uid_copy(text, token->value, token->length) || (*text && !uid_is_valid(text)))
            return fail(STATUS_INVALID, "%s of %zu bytes is not a UID", uid_rows[i].name,
                        token->length);
        memcpy(uid, text, sizeof text);
    }
    return STATUS_OK;
}

static status_t scan(const uint8_t *dataset, size_t length, const dicom_transfer_syntax_t *syntax,
                     dicom_instance_t *instance)
{
    dicom_reader_t reader;
    dicom_reader_init(&reader, dataset, length, syntax);
    bool pixels_cut = false;
    for (;;) {
        dicom_token_t token;
        TRY(dicom_reader_next(&reader, &token));
        if (token.kind == DICOM_TOKEN_END)
            break;
        if (token.depth)
            continue;
        if (is_pixel_data(token.tag) && token.kind <= DICOM_TOKEN_ENCAPSULATED) {
            instance->pixel_data_offset = token.offset;
            instance->pixel_value_offset = token.value_offset;
            instance->pixel_value_length = token.length;
            pixels_cut = token.cut;
        } else if (token.kind == DICOM_TOKEN_ELEMENT) {
            TRY(take_uid(instance, &token));
        }
    }
    if (reader.truncated && !pixels_cut)
        return fail(STATUS_INVALID, "the dataset ends inside an element at byte %zu", length);
    instance->truncated = reader.truncated;
    return STATUS_OK;
}

status_t dicom_instance_scan(const uint8_t *dataset, size_t length, const char *transfer_syntax_uid,
                             dicom_instance_t *out_instance)
{
    const dicom_transfer_syntax_t *syntax = dicom_transfer_syntax_find(transfer_syntax_uid);
    AUTO_BUFFER inflated = {0};
    if (syntax->deflated) {
        TRY(dicom_inflate(dataset, length, DICOM_INFLATE_MAX, DICOM_INFLATE_RATIO_MAX, &inflated));
        dataset = inflated.data;
        length = inflated.length;
    }
    dicom_instance_t instance = {0};
    TRY(scan(dataset, length, syntax, &instance));
    for (unsigned i = 0; i < UID_ROWS; i++)
        if (!*uid_member(&instance, &uid_rows[i]))
            return fail(STATUS_INVALID, "no %s", uid_rows[i].name);
    *out_instance = instance;
    return STATUS_OK;
}
