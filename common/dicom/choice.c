#include "dicom/choice.h"

#include "dicom/dictionary.h"

#define TAG_PIXEL_REPRESENTATION DICOM_TAG(0x0028, 0x0103)

enum { SIGN_UNKNOWN = -1 };

void dicom_choices_begin(dicom_choices_t *choices, unsigned depth)
{
    choices->is_signed[depth] = SIGN_UNKNOWN;
}

static signed char sign_of(const dicom_token_t *token)
{
    return (signed char)(dicom_uint16(token->value, token->big_endian) & 1);
}

void dicom_choices_note(dicom_choices_t *choices, const dicom_token_t *token)
{
    if (token->tag == TAG_PIXEL_REPRESENTATION && token->length >= 2)
        choices->is_signed[token->depth] = sign_of(token);
}

/* The top-level Pixel Representation when it lies behind what depends on it. */
static signed char find_sign(const dicom_reader_t *behind)
{
    dicom_reader_t reader = *behind;
    dicom_token_t token;
    while (dicom_reader_next(&reader, &token) == STATUS_OK && token.kind != DICOM_TOKEN_END)
        if (token.depth == 0 && token.tag == TAG_PIXEL_REPRESENTATION && token.length >= 2)
            return sign_of(&token);
    return 0;
}

static bool is_signed(dicom_choices_t *choices, const dicom_reader_t *reader, unsigned depth)
{
    for (unsigned level = depth + 1; level-- > 0;)
        if (choices->is_signed[level] != SIGN_UNKNOWN)
            return choices->is_signed[level];
    choices->is_signed[0] = find_sign(reader);
    return choices->is_signed[0];
}

uint16_t dicom_choices_vr(dicom_choices_t *choices, const dicom_reader_t *reader,
                          const dicom_token_t *token)
{
    if (!token->implicit_vr || (token->vr != DICOM_VR('U', 'S') && token->vr != DICOM_VR('O', 'W')))
        return token->vr;
    const dicom_attribute_t *row = dicom_dictionary_by_tag(token->tag);
    if (row && row->choice == DICOM_CHOICE_US_SS && is_signed(choices, reader, token->depth))
        return DICOM_VR('S', 'S');
    if (row && row->choice == DICOM_CHOICE_US_OW && token->length == 2)
        return DICOM_VR('U', 'S');
    return token->vr;
}
