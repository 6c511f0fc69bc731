#include "index/dataset/values.h"

#include <stdlib.h>
#include <string.h>

void value_trim(const char **text, size_t *length)
{
    while (*length && ((*text)[*length - 1] == ' ' || (*text)[*length - 1] == 0))
        (*length)--;
    while (*length && **text == ' ') {
        (*text)++;
        (*length)--;
    }
}

/* Digits without the separator; at most size - 1 of them. */
static bool digits_take(const char *text, size_t length, char separator, char *out, size_t size,
                        size_t *out_count)
{
    size_t count = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == separator)
            continue;
        if (text[i] < '0' || text[i] > '9' || count + 1 >= size)
            return false;
        out[count++] = text[i];
    }
    *out_count = count;
    return true;
}

static unsigned two_digits(const char *text)
{
    return (unsigned)((text[0] - '0') * 10 + (text[1] - '0'));
}

bool value_date(const char *text, size_t length, date_text_t out_date)
{
    date_text_t date = "";
    size_t count = 0;
    value_trim(&text, &length);
    if (!digits_take(text, length, '.', date, sizeof date, &count) || count != 8)
        return false;
    unsigned month = two_digits(date + 4), day = two_digits(date + 6);
    if (month < 1 || month > 12 || day < 1 || day > 31)
        return false;
    date[8] = 0;
    memcpy(out_date, date, sizeof date);
    return true;
}

bool value_time(const char *text, size_t length, bool latest, time_text_t out_time)
{
    /* 60 seconds: a leap second. */
    static const unsigned limit[] = {23, 59, 60};
    char digits[7] = "", fraction[7] = "";
    size_t count = 0, fraction_count = 0;
    value_trim(&text, &length);
    const char *point = memchr(text, '.', length);
    size_t whole = point ? (size_t)(point - text) : length;
    if (!digits_take(text, whole, ':', digits, sizeof digits, &count) || count < 2 || count % 2)
        return false;
    if (point && (count != 6 || !digits_take(point + 1, length - whole - 1, 0, fraction,
                                             sizeof fraction, &fraction_count)))
        return false;
    for (size_t pair = 0; pair < sizeof limit / sizeof *limit && pair < count / 2; pair++)
        if (two_digits(digits + 2 * pair) > limit[pair])
            return false;
    memcpy(out_time, latest ? "235959999999" : "000000000000", sizeof(time_text_t));
    memcpy(out_time, digits, count);
    memcpy(out_time + 6, fraction, fraction_count);
    return true;
}

bool value_number(const char *text, size_t length, int64_t *out_number)
{
    char copy[24], *end = NULL;
    value_trim(&text, &length);
    if (length == 0 || length >= sizeof copy)
        return false;
    memcpy(copy, text, length);
    copy[length] = 0;
    long long number = strtoll(copy, &end, 10);
    if (end == copy || (*end && strspn(end, ".0") != strlen(end)))
        return false;
    *out_number = number;
    return true;
}
