#include "dicom/file.h"

#include "dicom/dictionary.h"
#include "dicom/preamble.h"
#include "dicom/reader.h"

#include <string.h>

enum { PREAMBLE = DICOM_PREAMBLE_SIZE, PREFIX = 4, GUESS_LENGTH_MAX = 1024 * 1024 };

const char *dicom_transfer_syntax_guess(const uint8_t *bytes, size_t length)
{
    if (length < 8)
        return NULL;
    uint16_t little = dicom_uint16(bytes, false), big = dicom_uint16(bytes, true);
    if (dicom_vr_is_known(DICOM_VR(bytes[4], bytes[5])))
        /* The first group is a small number, so its order shows the order of bytes. */
        return little <= big ? DICOM_EXPLICIT_LITTLE : DICOM_EXPLICIT_BIG;
    uint32_t tag = DICOM_TAG(little, dicom_uint16(bytes + 2, false));
    bool sequence = length >= 12 && dicom_uint32(bytes + 4, false) == 0xFFFFFFFF &&
                    memcmp(bytes + 8, "\xFE\xFF\x00\xE0", 4) == 0;
    if (little <= big && sequence)
        return DICOM_IMPLICIT_LITTLE;
    if (little <= big && little >= 4 && !(little & 1) && dicom_dictionary_by_tag(tag) &&
        dicom_uint32(bytes + 4, false) <= GUESS_LENGTH_MAX)
        return DICOM_IMPLICIT_LITTLE;
    return NULL;
}

/* What is none is as if it were missing: these become parts of HTTP headers and rows. */
static void take_uid(uid_text_t out_uid, const dicom_token_t *token)
{
    uid_text_t uid = "";
    if (uid_copy(uid, token->value, token->length) && uid_is_valid(uid))
        memcpy(out_uid, uid, sizeof uid);
}

static bool in_meta(const dicom_reader_t *reader)
{
    return reader->length - reader->position >= 8 &&
           dicom_uint16(reader->bytes + reader->position, false) == 0x0002;
}

/*
 * Walks group 0002, always explicit VR little endian (PS3.10 7.1; the reader takes implicit VR
 * too). It ends where another group begins, or where its group length says if an element ends
 * there: a deflated dataset may begin with any byte.
 */
static status_t read_meta(const uint8_t *head, size_t length, size_t begin, dicom_file_t *file)
{
    dicom_reader_t reader;
    dicom_reader_init(&reader, head, length, dicom_transfer_syntax_find(DICOM_EXPLICIT_LITTLE));
    reader.position = begin;
    size_t declared_end = SIZE_MAX;
    while (in_meta(&reader) && reader.position != declared_end) {
        dicom_token_t token;
        TRY(dicom_reader_next(&reader, &token));
        if (reader.truncated || token.depth || token.kind != DICOM_TOKEN_ELEMENT)
            return length >= DICOM_FILE_HEAD_MAX
                       ? fail(STATUS_TOO_LARGE, "file meta group over %d bytes",
                              DICOM_FILE_META_MAX)
                       : fail(STATUS_INVALID, "the file ends inside its meta group");
        file->has_meta = true;
        if (token.tag == DICOM_TAG(0x0002, 0x0000) && token.length == 4)
            declared_end = reader.position + dicom_uint32(token.value, false);
        else if (token.tag == DICOM_TAG(0x0002, 0x0002))
            take_uid(file->media_storage_sop_class_uid, &token);
        else if (token.tag == DICOM_TAG(0x0002, 0x0003))
            take_uid(file->media_storage_sop_instance_uid, &token);
        else if (token.tag == DICOM_TAG(0x0002, 0x0010))
            take_uid(file->transfer_syntax_uid, &token);
    }
    if (reader.position - begin > DICOM_FILE_META_MAX)
        return fail(STATUS_TOO_LARGE, "file meta group over %d bytes", DICOM_FILE_META_MAX);
    file->dataset_offset = reader.position;
    return STATUS_OK;
}

status_t dicom_file_open(const uint8_t *head, size_t length, dicom_file_t *out_file)
{
    dicom_file_t file = {0};
    size_t begin = 0;
    if (length >= PREAMBLE + PREFIX && memcmp(head + PREAMBLE, "DICM", PREFIX) == 0) {
        begin = PREAMBLE + PREFIX;
        file.has_preamble = true;
        file.preamble_kind = dicom_preamble_kind(head);
    } else if (length >= PREFIX && memcmp(head, "DICM", PREFIX) == 0) {
        begin = PREFIX; /* the preamble was lost */
    }
    TRY(read_meta(head, length, begin, &file));
    if (!file.transfer_syntax_uid[0]) {
        const char *guess =
            dicom_transfer_syntax_guess(head + file.dataset_offset, length - file.dataset_offset);
        if (!guess)
            return fail(STATUS_INVALID, begin || file.has_meta
                                            ? "no transfer syntax and no known one by its bytes"
                                            : "not DICOM: no DICM prefix and no attribute at its "
                                              "beginning");
        memcpy(file.transfer_syntax_uid, guess, strlen(guess) + 1);
    }
    *out_file = file;
    return STATUS_OK;
}

/* ---- writing -------------------------------------------------------------------------------- */

static void append_uint16(buffer_t *out, uint16_t value)
{
    buffer_append(out, &value, sizeof value);
}

static void append_uint32(buffer_t *out, uint32_t value)
{
    buffer_append(out, &value, sizeof value);
}

/* An element with a 16-bit length, padded to an even one. */
static void append_text_element(buffer_t *out, uint16_t element, const char *vr, const char *text,
                                uint8_t pad)
{
    size_t length = strlen(text);
    append_uint16(out, 0x0002);
    append_uint16(out, element);
    buffer_append(out, vr, 2);
    append_uint16(out, (uint16_t)(length + (length & 1)));
    buffer_append(out, text, length);
    if (length & 1)
        buffer_append_byte(out, pad);
}

void dicom_file_write_head(buffer_t *out, const char *sop_class_uid, const char *sop_instance_uid,
                           const char *transfer_syntax_uid, const char *source_ae_title)
{
    static const uint8_t version[] = {0x02, 0x00, 0x01, 0x00, 'O', 'B', 0, 0, 2, 0, 0, 0, 0, 1};
    AUTO_BUFFER group = {0};
    buffer_append(&group, version, sizeof version);
    append_text_element(&group, 0x0002, "UI", sop_class_uid, 0);
    append_text_element(&group, 0x0003, "UI", sop_instance_uid, 0);
    append_text_element(&group, 0x0010, "UI", transfer_syntax_uid, 0);
    append_text_element(&group, 0x0012, "UI", DICOM_IMPLEMENTATION_CLASS_UID, 0);
    append_text_element(&group, 0x0013, "SH", DICOM_IMPLEMENTATION_VERSION_NAME, ' ');
    if (source_ae_title && *source_ae_title)
        append_text_element(&group, 0x0016, "AE", source_ae_title, ' ');

    static const uint8_t preamble[PREAMBLE];
    static const uint8_t group_length[] = {0x02, 0x00, 0x00, 0x00, 'U', 'L', 4, 0};
    buffer_append(out, preamble, sizeof preamble);
    buffer_append_text(out, "DICM");
    buffer_append(out, group_length, sizeof group_length);
    append_uint32(out, (uint32_t)group.length);
    buffer_append(out, group.data, group.length);
}
