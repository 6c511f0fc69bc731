#include "dicomweb/form/byte_range.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <strings.h>

/* Digits at *cursor; false when there are none or too many. */
static bool read_number(const char **cursor, uint64_t *out_number)
{
    uint64_t number = 0;
    const char *start = *cursor;
    for (; isdigit((unsigned char)**cursor); (*cursor)++)
        if (__builtin_mul_overflow(number, 10u, &number) ||
            __builtin_add_overflow(number, (uint64_t)(**cursor - '0'), &number))
            return false;
    *out_number = number;
    return *cursor > start;
}

static byte_range_t suffix(uint64_t wanted, uint64_t total, uint64_t *out_first,
                           uint64_t *out_length)
{
    if (wanted == 0 || total == 0)
        return BYTE_RANGE_UNSATISFIABLE;
    *out_length = wanted < total ? wanted : total;
    *out_first = total - *out_length;
    return BYTE_RANGE_PART;
}

byte_range_t byte_range_parse(const char *header, uint64_t total, uint64_t *out_first,
                              uint64_t *out_length)
{
    if (!header || strncasecmp(header, "bytes=", 6) != 0)
        return BYTE_RANGE_WHOLE;
    const char *cursor = header + 6;
    while (*cursor == ' ')
        cursor++;
    uint64_t first = 0, last = UINT64_MAX;
    bool has_first = read_number(&cursor, &first);
    if (*cursor++ != '-')
        return BYTE_RANGE_WHOLE;
    bool has_last = read_number(&cursor, &last);
    while (*cursor == ' ')
        cursor++;
    if (*cursor || (!has_first && !has_last))
        return BYTE_RANGE_WHOLE;
    if (!has_first)
        return suffix(last, total, out_first, out_length);
    if (has_last && last < first)
        return BYTE_RANGE_WHOLE;
    if (first >= total)
        return BYTE_RANGE_UNSATISFIABLE;
    if (!has_last || last >= total)
        last = total - 1;
    *out_first = first;
    *out_length = last - first + 1;
    return BYTE_RANGE_PART;
}
