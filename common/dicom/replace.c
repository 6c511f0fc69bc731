#include "dicom/replace.h"

#include "dicom/reader.h"

#include <string.h>

static status_t element_find(const uint8_t *dataset, size_t length,
                             const dicom_transfer_syntax_t *syntax, uint32_t tag,
                             dicom_token_t *out_token)
{
    dicom_reader_t reader;
    dicom_reader_init(&reader, dataset, length, syntax);
    for (;;) {
        TRY(dicom_reader_next(&reader, out_token));
        if (out_token->kind == DICOM_TOKEN_ELEMENT && out_token->depth == 0 &&
            out_token->tag == tag && !out_token->cut)
            return STATUS_OK;
        if (out_token->kind == DICOM_TOKEN_END || (out_token->depth == 0 && out_token->tag > tag))
            return fail(STATUS_INVALID, "the dataset has no element %08X", tag);
    }
}

/* A stream may mix both; no UID is so long that its length reads as two letters. */
static bool is_explicit(const dicom_token_t *token, const uint8_t *element)
{
    return token->value_offset - token->offset > 8 ||
           (element[4] >= 'A' && element[4] <= 'Z' && element[5] >= 'A' && element[5] <= 'Z');
}

static void number_put(uint8_t *out, size_t size, size_t value, bool big_endian)
{
    for (size_t i = 0; i < size; i++)
        out[big_endian ? size - 1 - i : i] = (uint8_t)(value >> 8 * i);
}

status_t dicom_replace_uid(const uint8_t *dataset, size_t length, const char *transfer_syntax_uid,
                           uint32_t tag, const char *uid, dicom_replaced_t *out_replaced)
{
    const dicom_transfer_syntax_t *syntax = dicom_transfer_syntax_find(transfer_syntax_uid);
    dicom_token_t token;
    size_t even = (strlen(uid) + 1) / 2 * 2;
    if (!uid_is_valid(uid))
        return fail(STATUS_INVALID, "not a UID");
    if (syntax->deflated)
        return fail(STATUS_UNSUPPORTED, "an element of a deflated dataset cannot be replaced");
    TRY(element_find(dataset, length, syntax, tag, &token));
    memset(out_replaced, 0, sizeof *out_replaced);
    out_replaced->offset = token.offset;
    out_replaced->old_length = token.value_offset - token.offset + token.length;
    out_replaced->length = 8 + even;
    uint8_t *bytes = out_replaced->bytes;
    memcpy(bytes, dataset + token.offset, 4);
    if (is_explicit(&token, dataset + token.offset)) {
        bytes[4] = 'U';
        bytes[5] = 'I';
        number_put(bytes + 6, 2, even, token.big_endian);
    } else {
        number_put(bytes + 4, 4, even, token.big_endian);
    }
    for (size_t i = 0; uid[i]; i++)
        bytes[8 + i] = (uint8_t)uid[i]; /* a UID is padded with NUL: PS3.5 9.1 */
    return STATUS_OK;
}
