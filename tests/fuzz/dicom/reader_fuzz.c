#include "dicom/reader.h"

#include "pick_syntax.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

/*
 * Every token lies inside the bytes, brackets match, and the walk ends. Gives the sum over the
 * top-level elements, 0 after a failure.
 */
static uint64_t walk(const uint8_t *bytes, size_t length, const char *syntax, bool skip)
{
    dicom_reader_t reader;
    dicom_reader_init(&reader, bytes, length, dicom_transfer_syntax_find(syntax));
    uint64_t sum = 1;
    size_t sequences = 0, items = 0, steps = 0;
    for (;;) {
        dicom_token_t token;
        if (dicom_reader_next(&reader, &token) != STATUS_OK)
            return 0;
        require(++steps <= 2 * length + 2);
        require(token.value_offset <= length && token.length <= length - token.value_offset);
        require(token.value == bytes + token.value_offset);
        require(token.offset <= token.value_offset);
        items += token.kind == DICOM_TOKEN_ITEM; /* an item's own tokens count the item */
        require(token.depth == items);
        if (token.depth == 0 && token.kind <= DICOM_TOKEN_SEQUENCE)
            sum = sum * 31 + token.tag + token.offset + token.length;
        switch (token.kind) {
        case DICOM_TOKEN_SEQUENCE:
            if (skip) {
                if (dicom_reader_skip_sequence(&reader) != STATUS_OK)
                    return 0;
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
            return sum;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    uint64_t read = walk(data + 1, size - 1, pick_syntax(data[0]), false);
    uint64_t skipped = walk(data + 1, size - 1, pick_syntax(data[0]), true);
    require(read == 0 || read == skipped); /* a skipped sequence changes nothing behind it */
    return 0;
}
