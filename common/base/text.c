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

size_t text_utf8_sequence(const void *bytes, size_t left)
{
    const uint8_t *text = bytes;
    uint8_t c = text[0];
    if (c < 0x80)
        return 1;
    size_t need = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;
    if (c < 0xC2 || c > 0xF4 || need > left)
        return 0;
    uint8_t low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
    uint8_t high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
    if (text[1] < low || text[1] > high)
        return 0;
    for (size_t i = 2; i < need; i++)
        if ((text[i] & 0xC0) != 0x80)
            return 0;
    return need;
}

bool text_is_utf8(const char *text, size_t length)
{
    for (size_t i = 0, sequence; i < length; i += sequence)
        if (!(sequence = text_utf8_sequence(text + i, length - i)))
            return false;
    return true;
}

void text_make_utf8(char *text)
{
    for (size_t left = strlen(text), sequence; left; text += sequence, left -= sequence) {
        sequence = text_utf8_sequence(text, left);
        if (sequence == 0) {
            *text = '?';
            sequence = 1;
        }
    }
}

size_t text_utf8_cut(const char *text, size_t length, size_t most)
{
    if (length <= most)
        return length;
    while (most && ((uint8_t)text[most] & 0xC0) == 0x80)
        most--;
    return most;
}
