#include "dicomweb/retrieve/frame_list.h"

#include "base/memory.h"

#include <ctype.h>
#include <stdlib.h>

static status_t read_frame(const char **cursor, uint32_t *out_number)
{
    uint32_t number = 0;
    if (!isdigit((unsigned char)**cursor))
        return fail(STATUS_INVALID, "a frame list is numbers from 1, separated by commas");
    for (; isdigit((unsigned char)**cursor); (*cursor)++)
        if (__builtin_mul_overflow(number, 10u, &number) ||
            __builtin_add_overflow(number, (uint32_t)(**cursor - '0'), &number))
            return fail(STATUS_INVALID, "a frame number is too large");
    if (number == 0)
        return fail(STATUS_INVALID, "frames are numbered from 1");
    *out_number = number;
    return STATUS_OK;
}

status_t frame_list_parse(const char *text, frame_list_t *out_list)
{
    size_t count = 1;
    for (const char *cursor = text; *cursor; cursor++)
        count += *cursor == ',';
    if (count > FRAME_LIST_MAX)
        return fail(STATUS_TOO_LARGE, "%zu frames in one request, limit %d", count, FRAME_LIST_MAX);
    AUTO_FREE uint32_t *numbers = memory_allocate(count * sizeof *numbers);
    const char *cursor = text;
    for (size_t i = 0; i < count; i++) {
        TRY(read_frame(&cursor, &numbers[i]));
        if (*cursor != (i + 1 < count ? ',' : '\0'))
            return fail(STATUS_INVALID, "a frame list is numbers from 1, separated by commas");
        cursor += i + 1 < count;
    }
    out_list->numbers = numbers;
    out_list->count = count;
    numbers = NULL;
    return STATUS_OK;
}
