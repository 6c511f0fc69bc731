#include "dicom/reader.h"

#include "dicom/dictionary.h"

#include <string.h>

#define TAG_ITEM         DICOM_TAG(0xFFFE, 0xE000)
#define TAG_ITEM_END     DICOM_TAG(0xFFFE, 0xE00D)
#define TAG_SEQUENCE_END DICOM_TAG(0xFFFE, 0xE0DD)
#define TAG_PIXEL_DATA   DICOM_TAG(0x7FE0, 0x0010)
#define UNDEFINED        0xFFFFFFFFu
#define OPEN_MAX         (2 * DICOM_NESTING_MAX)

/* An element's header as it stands in the stream. */
typedef struct {
    uint32_t tag, length;
    uint16_t vr;
    unsigned size; /* bytes of the header */
    bool implicit_vr;
} header_t;

uint16_t dicom_uint16(const uint8_t *bytes, bool big_endian)
{
    uint16_t value;
    memcpy(&value, bytes, sizeof value);
    return big_endian ? __builtin_bswap16(value) : value;
}

uint32_t dicom_uint32(const uint8_t *bytes, bool big_endian)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return big_endian ? __builtin_bswap32(value) : value;
}

uint64_t dicom_uint64(const uint8_t *bytes, bool big_endian)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof value);
    return big_endian ? __builtin_bswap64(value) : value;
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the host is little endian");

/* ---- value representations ------------------------------------------------------------------- */

typedef enum { VR_UNKNOWN, VR_SHORT, VR_LONG } vr_form_t;

/* clang-format off */
/* How the length is written.                                   PS3.5 7.1.2, tables 7.1-1 and 7.1-2 */
static vr_form_t vr_form(uint16_t vr)
{
    switch (vr) {
    case DICOM_VR('A', 'E'): case DICOM_VR('A', 'S'): case DICOM_VR('A', 'T'):
    case DICOM_VR('C', 'S'): case DICOM_VR('D', 'A'): case DICOM_VR('D', 'S'):
    case DICOM_VR('D', 'T'): case DICOM_VR('F', 'L'): case DICOM_VR('F', 'D'):
    case DICOM_VR('I', 'S'): case DICOM_VR('L', 'O'): case DICOM_VR('L', 'T'):
    case DICOM_VR('P', 'N'): case DICOM_VR('S', 'H'): case DICOM_VR('S', 'L'):
    case DICOM_VR('S', 'S'): case DICOM_VR('S', 'T'): case DICOM_VR('T', 'M'):
    case DICOM_VR('U', 'I'): case DICOM_VR('U', 'L'): case DICOM_VR('U', 'S'):
        return VR_SHORT;
    case DICOM_VR('O', 'B'): case DICOM_VR('O', 'D'): case DICOM_VR('O', 'F'):
    case DICOM_VR('O', 'L'): case DICOM_VR('O', 'V'): case DICOM_VR('O', 'W'):
    case DICOM_VR('S', 'Q'): case DICOM_VR('S', 'V'): case DICOM_VR('U', 'C'):
    case DICOM_VR('U', 'N'): case DICOM_VR('U', 'R'): case DICOM_VR('U', 'T'):
    case DICOM_VR('U', 'V'):
        return VR_LONG;
    default:
        return VR_UNKNOWN;
    }
}

/* clang-format on */

bool dicom_vr_is_known(uint16_t vr)
{
    return vr_form(vr) != VR_UNKNOWN;
}

bool dicom_vr_is_long(uint16_t vr)
{
    return vr_form(vr) == VR_LONG;
}

static bool is_upper(uint8_t c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_printable(uint8_t c)
{
    return c >= 0x20 && c <= 0x7E;
}

/* ---- reading -------------------------------------------------------------------------------- */

/* A dataset said to be implicit whose first element cannot be, but is an explicit one. */
static bool is_explicit_after_all(const uint8_t *bytes, size_t length)
{
    if (length < 8 || !dicom_vr_is_known(DICOM_VR(bytes[4], bytes[5])))
        return false;
    return dicom_uint32(bytes + 4, false) > length - 8;
}

void dicom_reader_init(dicom_reader_t *reader, const uint8_t *bytes, size_t length,
                       const dicom_transfer_syntax_t *syntax)
{
    reader->bytes = bytes;
    reader->length = length;
    reader->position = 0;
    reader->explicit_vr = syntax->explicit_vr || is_explicit_after_all(bytes, length);
    reader->big_endian = syntax->big_endian;
    reader->truncated = false;
    reader->depth = 0;
    reader->previous_tag = 0;
}

/* Nothing in the innermost container lies behind this. */
static size_t limit_of(const dicom_reader_t *reader)
{
    return reader->depth ? reader->open[reader->depth - 1].limit : reader->length;
}

static void token_set(const dicom_reader_t *reader, dicom_token_t *token, dicom_token_kind_t kind,
                      uint32_t tag, size_t offset, size_t value_offset)
{
    *token = (dicom_token_t){.kind = kind,
                             .tag = tag,
                             .vr = DICOM_VR('S', 'Q'),
                             .big_endian = reader->big_endian,
                             .value = reader->bytes + value_offset,
                             .offset = offset,
                             .value_offset = value_offset,
                             .depth = (reader->depth + 1) / 2};
}

/* Opens a sequence or an item; size is what its header takes. */
static status_t container_open(dicom_reader_t *reader, uint32_t tag, bool is_item, uint32_t length,
                               size_t size)
{
    size_t limit = limit_of(reader), begin = reader->position + size, end = SIZE_MAX;
    if (reader->depth >= OPEN_MAX)
        return fail(STATUS_TOO_LARGE, "sequences nested deeper than %d at byte %zu",
                    DICOM_NESTING_MAX, reader->position);
    if (length != UNDEFINED) {
        end = begin + length;
        if (end > limit) {
            if (limit != reader->length)
                return fail(STATUS_INVALID, "length %u at byte %zu leaves what it lies in", length,
                            reader->position);
            reader->truncated = true;
            end = limit;
        }
        limit = end;
    }
    unsigned top = reader->depth++;
    reader->open[top].tag = tag;
    reader->open[top].end = end;
    reader->open[top].limit = limit;
    reader->open[top].is_item = is_item;
    reader->open[top].explicit_vr = reader->explicit_vr;
    reader->open[top].big_endian = reader->big_endian;
    reader->position = begin;
    return STATUS_OK;
}

/* Closes the innermost container; skip is what its delimiter takes. */
static void container_close(dicom_reader_t *reader, size_t skip, dicom_token_t *token)
{
    unsigned top = reader->depth - 1;
    bool is_item = reader->open[top].is_item;
    if (is_item) {
        token_set(reader, token, DICOM_TOKEN_ITEM_END, TAG_ITEM, reader->position,
                  reader->position);
    }
    reader->depth = top;
    reader->explicit_vr = reader->open[top].explicit_vr;
    reader->big_endian = reader->open[top].big_endian;
    if (!is_item)
        token_set(reader, token, DICOM_TOKEN_SEQUENCE_END, reader->open[top].tag, reader->position,
                  reader->position);
    reader->position += skip;
}

bool dicom_fragment_next(const uint8_t *value, size_t length, size_t *position,
                         const uint8_t **out_fragment, size_t *out_length)
{
    if (length - *position < 8 || dicom_uint16(value + *position, false) != 0xFFFE ||
        dicom_uint16(value + *position + 2, false) != 0xE000)
        return false;
    uint32_t declared = dicom_uint32(value + *position + 4, false);
    size_t left = length - *position - 8;
    *out_fragment = value + *position + 8;
    *out_length = declared < left ? declared : left;
    *position += 8 + *out_length;
    return true;
}

/* Encapsulated pixel data: items of defined length up to a delimiter, little endian.   PS3.5 A.4 */
static status_t read_fragments(dicom_reader_t *reader, const header_t *header, dicom_token_t *token)
{
    size_t limit = limit_of(reader), begin = reader->position + header->size, at = begin;
    token_set(reader, token, DICOM_TOKEN_ENCAPSULATED, header->tag, reader->position, begin);
    token->vr = header->vr;
    token->implicit_vr = header->implicit_vr;
    token->undefined_length = true;
    for (;;) {
        if (limit - at < 8) {
            reader->truncated = token->cut = true;
            token->length = limit - begin;
            reader->position = limit;
            return STATUS_OK;
        }
        uint32_t tag = DICOM_TAG(dicom_uint16(reader->bytes + at, false),
                                 dicom_uint16(reader->bytes + at + 2, false));
        uint32_t length = dicom_uint32(reader->bytes + at + 4, false);
        if (tag == TAG_SEQUENCE_END)
            break;
        if (tag != TAG_ITEM)
            return fail(STATUS_INVALID, "(%04X,%04X) at byte %zu is no fragment of pixel data",
                        tag >> 16, tag & 0xFFFF, at);
        if (length == UNDEFINED)
            return fail(STATUS_INVALID, "fragment of undefined length at byte %zu", at);
        if (length > limit - at - 8) {
            if (limit != reader->length)
                return fail(STATUS_INVALID, "fragment at byte %zu leaves its item", at);
            reader->truncated = token->cut = true;
            token->length = limit - begin;
            reader->position = limit;
            return STATUS_OK;
        }
        at += 8 + (size_t)length;
    }
    token->length = at - begin;
    reader->position = at + 8;
    return STATUS_OK;
}

/* Length and VR of the element at position; at least 8 bytes are there.        PS3.5 7.1.2, 7.1.3
 */
static status_t read_header(const dicom_reader_t *reader, uint32_t tag, size_t limit,
                            header_t *header)
{
    const uint8_t *at = reader->bytes + reader->position;
    size_t left = limit - reader->position;
    *header = (header_t){.tag = tag, .size = 8, .implicit_vr = true};
    header->length = dicom_uint32(at + 4, reader->big_endian);
    if (!reader->explicit_vr)
        return STATUS_OK;

    uint16_t vr = DICOM_VR(at[4], at[5]);
    vr_form_t form = vr_form(vr);
    if (form == VR_UNKNOWN) {
        if (is_upper(at[4]) && is_upper(at[5]))
            form = VR_LONG; /* PS3.5 6.2: later VRs have the long form */
        else if (is_printable(at[4]) && is_printable(at[5]))
            form = VR_SHORT; /* "??", "  " and the like, from converters of the nineties */
        else
            return STATUS_OK; /* an implicit element in an explicit stream */
        vr = DICOM_VR('U', 'N');
    }
    header->implicit_vr = false;
    header->vr = vr;
    if (form == VR_SHORT) {
        header->length = dicom_uint16(at + 6, reader->big_endian);
        return STATUS_OK;
    }
    header->size = 12;
    if (left < 12)
        return STATUS_NOT_FOUND;
    header->length = dicom_uint32(at + 8, reader->big_endian);
    return STATUS_OK;
}

static bool item_follows(const uint8_t *at, size_t left, bool big_endian)
{
    return left >= 8 && dicom_uint16(at, big_endian) == 0xFFFE &&
           dicom_uint16(at + 2, big_endian) == 0xE000;
}

static bool delimiter_follows(const uint8_t *at, size_t left, bool big_endian)
{
    return left >= 8 && dicom_uint16(at, big_endian) == 0xFFFE &&
           dicom_uint16(at + 2, big_endian) == 0xE0DD;
}

/*
 * A sequence within UN is implicit VR little endian (PS3.5 6.2.2), but some nodes leave it as it was.
 * Then the first element of its first item has the VR of the dictionary, or a length that, taken as
 * implicit VR, cannot be.
 */
static bool is_left_explicit(const uint8_t *value, size_t left)
{
    if (left < 16 || !item_follows(value, left, false))
        return false;
    uint16_t vr = DICOM_VR(value[12], value[13]);
    if (!dicom_vr_is_known(vr))
        return false;
    const dicom_attribute_t *row = dicom_dictionary_by_tag(
        DICOM_TAG(dicom_uint16(value + 8, false), dicom_uint16(value + 10, false)));
    return (row && row->vr == vr) || dicom_uint32(value + 12, false) > left - 16;
}

/* Whether the element is a sequence, and whether of implicit VR little endian content. */
static bool is_sequence(const dicom_reader_t *reader, const header_t *header, size_t limit,
                        bool *out_implicit)
{
    const uint8_t *value = reader->bytes + reader->position + header->size;
    size_t left = limit - reader->position - header->size;
    *out_implicit = false;
    if (header->vr == DICOM_VR('S', 'Q'))
        return true;
    if (header->length != UNDEFINED) {
        /* PS3.5 6.2.2: a sequence that went through a node which did not know it */
        const dicom_attribute_t *row =
            header->vr == DICOM_VR('U', 'N') ? dicom_dictionary_by_tag(header->tag) : NULL;
        if (!row || row->vr != DICOM_VR('S', 'Q') || !item_follows(value, left, false))
            return false;
        *out_implicit = reader->big_endian || !is_left_explicit(value, left);
        return true;
    }
    if (header->vr == DICOM_VR('U', 'N')) {
        *out_implicit =
            reader->big_endian ? !item_follows(value, left, true) : !is_left_explicit(value, left);
        return true;
    }
    bool binary = header->vr == DICOM_VR('O', 'B') || header->vr == DICOM_VR('O', 'W');
    return !binary && (item_follows(value, left, reader->big_endian) ||
                       delimiter_follows(value, left, reader->big_endian));
}

static status_t read_element(dicom_reader_t *reader, uint32_t tag, size_t limit,
                             dicom_token_t *token)
{
    header_t header;
    if (read_header(reader, tag, limit, &header) != STATUS_OK) {
        /* the limit cuts the header: at the end of the bytes that is a prefix */
        if (limit != reader->length)
            return fail(STATUS_INVALID, "element at byte %zu leaves its item", reader->position);
        reader->truncated = true;
        reader->position = limit;
        return STATUS_NOT_FOUND;
    }
    if (!reader->depth)
        reader->previous_tag = tag;
    bool from_dictionary = header.implicit_vr || header.vr == DICOM_VR('U', 'N');
    if (header.implicit_vr) {
        const dicom_attribute_t *row = dicom_dictionary_by_tag(tag);
        header.vr = row ? row->vr : DICOM_VR('U', 'N');
    }

    bool implicit;
    if (is_sequence(reader, &header, limit, &implicit)) {
        size_t offset = reader->position;
        dicom_token_t sequence;
        token_set(reader, &sequence, DICOM_TOKEN_SEQUENCE, tag, offset, offset + header.size);
        sequence.undefined_length = header.length == UNDEFINED;
        sequence.implicit_vr = header.implicit_vr;
        TRY(container_open(reader, tag, false, header.length, header.size));
        if (implicit)
            reader->explicit_vr = reader->big_endian = false;
        *token = sequence;
        return STATUS_OK;
    }
    if (header.length == UNDEFINED) {
        if (header.vr != DICOM_VR('O', 'B') && header.vr != DICOM_VR('O', 'W'))
            return fail(STATUS_INVALID, "(%04X,%04X) at byte %zu has no length", tag >> 16,
                        tag & 0xFFFF, reader->position);
        return read_fragments(reader, &header, token);
    }
    if (from_dictionary && !header.implicit_vr) {
        const dicom_attribute_t *row = dicom_dictionary_by_tag(tag);
        if (row && row->vr != DICOM_VR('S', 'Q'))
            header.vr = row->vr;
    }
    token_set(reader, token, DICOM_TOKEN_ELEMENT, tag, reader->position,
              reader->position + header.size);
    token->vr = header.vr;
    token->implicit_vr = from_dictionary;
    size_t left = limit - reader->position - header.size;
    if (header.length > left) {
        if (limit != reader->length)
            return fail(STATUS_INVALID, "(%04X,%04X) at byte %zu: %u bytes leave its item",
                        tag >> 16, tag & 0xFFFF, reader->position, header.length);
        reader->truncated = token->cut = true;
        token->length = left;
    } else {
        token->length = header.length;
    }
    reader->position += header.size + token->length;
    return STATUS_OK;
}

/* Zeros up to the end: files padded to a block. */
static bool only_zeros(const uint8_t *bytes, size_t length)
{
    return length == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0);
}

/* (FFFE,xxxx) where it is no item of a sequence: closes a container or is skipped. */
static status_t read_delimiter(dicom_reader_t *reader, uint32_t tag, dicom_token_t *token)
{
    bool inside = reader->depth > 0;
    bool is_item = inside && reader->open[reader->depth - 1].is_item;
    bool undefined = inside && reader->open[reader->depth - 1].end == SIZE_MAX;
    if (undefined && tag == (is_item ? TAG_ITEM_END : TAG_SEQUENCE_END)) {
        container_close(reader, 8, token);
        return STATUS_OK;
    }
    if (undefined && is_item && tag == TAG_SEQUENCE_END) { /* the item's own delimiter is missing */
        container_close(reader, 0, token);
        return STATUS_OK;
    }
    if (tag == TAG_ITEM_END || tag == TAG_SEQUENCE_END) { /* one too many */
        reader->position += 8;
        return STATUS_NOT_FOUND;
    }
    return fail(STATUS_INVALID, "(%04X,%04X) at byte %zu outside a sequence", tag >> 16,
                tag & 0xFFFF, reader->position);
}

/* One step; NOT_FOUND: nothing to tell, go on. */
static status_t step(dicom_reader_t *reader, dicom_token_t *token)
{
    size_t limit = limit_of(reader);
    bool inside = reader->depth > 0;
    if (reader->position >= limit) {
        if (!inside) {
            token_set(reader, token, DICOM_TOKEN_END, 0, limit, limit);
            return STATUS_OK;
        }
        if (reader->open[reader->depth - 1].end == SIZE_MAX && limit == reader->length)
            reader->truncated = true;
        container_close(reader, 0, token);
        return STATUS_OK;
    }
    const uint8_t *at = reader->bytes + reader->position;
    size_t left = limit - reader->position;
    if (left < 8) {
        if (limit != reader->length)
            return fail(STATUS_INVALID, "%zu bytes at byte %zu are no element", left,
                        reader->position);
        if (inside || !only_zeros(at, left))
            reader->truncated = true;
        reader->position = limit;
        return STATUS_NOT_FOUND;
    }
    uint32_t tag =
        DICOM_TAG(dicom_uint16(at, reader->big_endian), dicom_uint16(at + 2, reader->big_endian));
    if (inside && !reader->open[reader->depth - 1].is_item && tag == TAG_ITEM) {
        size_t offset = reader->position;
        uint32_t length = dicom_uint32(at + 4, reader->big_endian);
        TRY(container_open(reader, tag, true, length, 8));
        token_set(reader, token, DICOM_TOKEN_ITEM, tag, offset, reader->position);
        token->undefined_length = length == UNDEFINED;
        return STATUS_OK;
    }
    if (tag >> 16 == 0xFFFE)
        return read_delimiter(reader, tag, token);
    if (inside && !reader->open[reader->depth - 1].is_item)
        return fail(STATUS_INVALID, "(%04X,%04X) at byte %zu where an item was expected", tag >> 16,
                    tag & 0xFFFF, reader->position);
    if (tag == 0 && !inside && reader->previous_tag != 0) {
        if (!only_zeros(at, left))
            return fail(STATUS_INVALID, "no element at byte %zu", reader->position);
        reader->position = limit;
        return STATUS_NOT_FOUND;
    }
    return read_element(reader, tag, limit, token);
}

status_t dicom_reader_next(dicom_reader_t *reader, dicom_token_t *out_token)
{
    status_t status;
    do
        status = step(reader, out_token);
    while (status == STATUS_NOT_FOUND);
    return status;
}

void dicom_reader_pass(dicom_reader_t *reader, uint32_t tag, size_t size)
{
    reader->position += size;
    reader->previous_tag = tag;
}

status_t dicom_reader_skip_sequence(dicom_reader_t *reader)
{
    unsigned outside = reader->depth - 1;
    size_t end = reader->open[outside].end;
    dicom_token_t token;
    if (end != SIZE_MAX) { /* its length is known: no need to look inside */
        reader->position = end;
        container_close(reader, 0, &token);
        return STATUS_OK;
    }
    while (reader->depth > outside)
        TRY(dicom_reader_next(reader, &token));
    return STATUS_OK;
}
