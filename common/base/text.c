#include "base/text.h"

#include <string.h>
#include <strings.h>

static const char uid_bytes[] = "0123456789."
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";

bool uid_is_valid(const char *text)
{
    size_t length = strnlen(text, UID_LENGTH_MAX + 1);
    /* From the second byte on also '.', '-' and '_': "..", which no address can name, is none. */
    return length >= 1 && length <= UID_LENGTH_MAX && strspn(text, uid_bytes) == length &&
           !strchr(".-_", text[0]);
}

bool uid_copy(uid_text_t out_uid, const void *bytes, size_t length)
{
    const char *text = bytes;
    while (length && (text[length - 1] == 0 || text[length - 1] == ' '))
        length--;
    if (length > UID_LENGTH_MAX || (length && memchr(text, 0, length)))
        return false;
    if (length)
        memcpy(out_uid, text, length);
    out_uid[length] = 0;
    return true;
}

bool text_equal_ignore_case(const char *a, const char *b)
{
    return strcasecmp(a, b) == 0;
}

bool text_to_uint64(const char *text, uint64_t *out_value)
{
    uint64_t value = 0;
    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || __builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
            return false;
    }
    *out_value = value;
    return true;
}
