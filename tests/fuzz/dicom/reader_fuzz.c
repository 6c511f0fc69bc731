#include "dicom/reader.h"

#include "pick_syntax.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

/* Every token lies inside the bytes, brackets match, and the walk ends. */
static void walk(const uint8_t *bytes, size_t length, const char *syntax, bool skip)
{
    dicom_reader_t reader;
    dicom_reader_init(&reader, bytes, length, dicom_transfer_syntax_find(syntax));
    size_t sequences = 0, items = 0, steps = 0;
    for (;;) {
        dicom_token_t token;
        if (dicom_reader_next(&reader, &token) != STATUS_OK)
            return;
        require(++steps <= 2 * length + 2);
        require(token.value_offset <= length && token.length <= length - token.value_offset);
        require(token.value == bytes + token.value_offset);
        require(token.offset <= token.value_offset);
        items += token.kind == DICOM_TOKEN_ITEM; /* an item's own tokens count the item */
        require(token.depth == items);
        switch (token.kind) {
        case DICOM_TOKEN_SEQUENCE:
            if (skip) {
                if (dicom_reader_skip_sequence(&reader) != STATUS_OK)
                    return;
            } else {
                sequences++;
            }
            break;
        case DICOM_TOKEN_SEQUENCE_END:
            require(sequences-- > 0);
            break;
        case DICOM_TOKEN_ITEM:
            break;
        case DICOM_TOKEN_ITEM_END:
            require(items-- > 0);
            break;
        case DICOM_TOKEN_ENCAPSULATED: {
            const uint8_t *fragment;
            size_t position = 0, fragment_length;
            while (dicom_fragment_next(token.value, token.length, &position, &fragment,
                                       &fragment_length))
                require(fragment >= bytes && fragment + fragment_length <= bytes + length);
            break;
        }
        case DICOM_TOKEN_ELEMENT:
            break;
        case DICOM_TOKEN_END:
            require(sequences == 0 && items == 0 && reader.position <= length);
            return;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    walk(data + 1, size - 1, pick_syntax(data[0]), false);
    walk(data + 1, size - 1, pick_syntax(data[0]), true);
    return 0;
}
