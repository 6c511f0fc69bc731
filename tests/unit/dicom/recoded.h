#ifndef ZPACS_TESTS_UNIT_DICOM_RECODED_H
#define ZPACS_TESTS_UNIT_DICOM_RECODED_H

#include "dicom/recode.h"
#include "dicom/words.h"

/* Appends what a client gets of a recoded dataset. */
static inline void append_recoded(const dicom_recoded_t *recoded, const uint8_t *dataset,
                                  buffer_t *out)
{
    size_t sent = 0;
    buffer_reserve(out, 1); /* also nothing has an address */
    for (size_t i = 0; i < recoded->value_count; i++) {
        const dicom_recoded_value_t *value = &recoded->values[i];
        buffer_append(out, recoded->bytes.data + sent, value->after - sent);
        buffer_reserve(out, value->length);
        dicom_words_turn(out->data + out->length, dataset + value->offset, value->length, 0,
                         value->length, value->word);
        out->length += value->length;
        sent = value->after;
    }
    if (sent < recoded->bytes.length)
        buffer_append(out, recoded->bytes.data + sent, recoded->bytes.length - sent);
}

#endif
