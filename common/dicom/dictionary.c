#include "dicom/dictionary.h"

#include "dicom/dictionary_table.h"

#include <stddef.h>
#include <string.h>

static const dicom_attribute_t group_length = {0, DICOM_VR('U', 'L'), DICOM_CHOICE_NONE,
                                               "GenericGroupLength"};
static const dicom_attribute_t private_creator = {0, DICOM_VR('L', 'O'), DICOM_CHOICE_NONE,
                                                  "PrivateCreator"};

static const dicom_attribute_t *find_range(uint16_t group, uint16_t element)
{
    for (unsigned i = 0; i < dicom_dictionary_range_count; i++) {
        const dicom_range_t *range = &dicom_dictionary_ranges[i];
        if (group >= range->group_low && group <= range->group_high &&
            element >= range->element_low && element <= range->element_high &&
            (group & 1) == (range->group_low & 1))
            return &range->row;
    }
    return NULL;
}

const dicom_attribute_t *dicom_dictionary_by_tag(uint32_t tag)
{
    uint16_t group = (uint16_t)(tag >> 16), element = (uint16_t)tag;
    if (group & 1) { /* PS3.5 7.8: odd groups are private */
        if (element == 0)
            return &group_length;
        return element >= 0x10 && element <= 0xFF ? &private_creator : NULL;
    }
    unsigned low = 0, high = dicom_dictionary_count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (dicom_dictionary_rows[middle].tag < tag)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < dicom_dictionary_count && dicom_dictionary_rows[low].tag == tag)
        return &dicom_dictionary_rows[low];
    return element == 0 ? &group_length : find_range(group, element);
}

const dicom_attribute_t *dicom_dictionary_by_keyword(const char *keyword)
{
    unsigned low = 0, high = dicom_dictionary_count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        const dicom_attribute_t *row = &dicom_dictionary_rows[dicom_dictionary_keywords[middle]];
        int order = strcmp(row->keyword, keyword);
        if (order == 0)
            return row;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (unsigned i = 0; i < dicom_dictionary_range_count; i++)
        if (strcmp(dicom_dictionary_ranges[i].row.keyword, keyword) == 0)
            return &dicom_dictionary_ranges[i].row;
    return NULL;
}

static bool tag_from_digits(const char *text, uint32_t *out_tag)
{
    uint32_t tag = 0;
    unsigned digits = 0;
    for (const char *c = text; *c; c++) {
        if (*c == ',' && digits == 4 && c == text + 4)
            continue;
        unsigned digit;
        if (*c >= '0' && *c <= '9')
            digit = (unsigned)(*c - '0');
        else if (*c >= 'A' && *c <= 'F')
            digit = (unsigned)(*c - 'A') + 10;
        else if (*c >= 'a' && *c <= 'f')
            digit = (unsigned)(*c - 'a') + 10;
        else
            return false;
        if (++digits > 8)
            return false;
        tag = (tag << 4) | digit;
    }
    if (digits != 8)
        return false;
    *out_tag = tag;
    return true;
}

bool dicom_tag_from_text(const char *text, uint32_t *out_tag)
{
    if (tag_from_digits(text, out_tag))
        return true;
    const dicom_attribute_t *row = dicom_dictionary_by_keyword(text);
    if (!row)
        return false;
    *out_tag = row->tag;
    return true;
}
