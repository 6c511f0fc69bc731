#include "base/buffer.h"
#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buffer_reserve(buffer_t *buffer, size_t additional)
{
    size_t needed;
    if (__builtin_add_overflow(buffer->length, additional, &needed))
        abort();
    if (needed <= buffer->capacity)
        return;
    size_t capacity = buffer->capacity ? buffer->capacity : 256;
    while (capacity < needed)
        if (__builtin_mul_overflow(capacity, (size_t)2, &capacity))
            abort();
    buffer->data = memory_resize(buffer->data, capacity);
    buffer->capacity = capacity;
}

void buffer_append(buffer_t *buffer, const void *bytes, size_t length)
{
    if (!length)
        return;
    buffer_reserve(buffer, length);
    memcpy(buffer->data + buffer->length, bytes, length);
    buffer->length += length;
}

void buffer_append_text(buffer_t *buffer, const char *text)
{
    buffer_append(buffer, text, strlen(text));
}

void buffer_append_byte(buffer_t *buffer, uint8_t byte)
{
    buffer_append(buffer, &byte, 1);
}

void buffer_printf(buffer_t *buffer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = NULL;
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0)
        abort();
    buffer_append(buffer, text, (size_t)length);
    free(text);
}

/*
 * Length of the well-formed UTF-8 sequence at text, or 0.            Unicode 15, Table 3-7
 */
static size_t utf8_sequence(const uint8_t *text, size_t left)
{
    static const struct {
        uint8_t first_low, first_high, second_low, second_high, length;
    } rows[] = {
        {0x00, 0x7F, 0, 0, 1},       {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
        {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
        {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (text[0] < rows[i].first_low || text[0] > rows[i].first_high)
            continue;
        if (rows[i].length > left)
            return 0;
        if (rows[i].length > 1 && (text[1] < rows[i].second_low || text[1] > rows[i].second_high))
            return 0;
        for (size_t k = 2; k < rows[i].length; k++)
            if ((text[k] & 0xC0) != 0x80)
                return 0;
        return rows[i].length;
    }
    return 0;
}

void buffer_append_json(buffer_t *buffer, const char *text, size_t length)
{
    const uint8_t *bytes = (const uint8_t *)text;
    buffer_append_byte(buffer, '"');
    for (size_t i = 0; i < length;) {
        size_t sequence = utf8_sequence(bytes + i, length - i);
        if (sequence == 0) {
            buffer_append_text(buffer, "\xEF\xBF\xBD");
            i++;
        } else if (sequence == 1 && (bytes[i] < 0x20 || bytes[i] == 0x7F)) {
            buffer_printf(buffer, "\\u%04x", bytes[i]);
            i++;
        } else {
            if (bytes[i] == '"' || bytes[i] == '\\')
                buffer_append_byte(buffer, '\\');
            buffer_append(buffer, bytes + i, sequence);
            i += sequence;
        }
    }
    buffer_append_byte(buffer, '"');
}

const char *buffer_text(buffer_t *buffer)
{
    buffer_reserve(buffer, 1);
    buffer->data[buffer->length] = 0;
    return (const char *)buffer->data;
}

void buffer_clear(buffer_t *buffer)
{
    buffer->length = 0;
}

void buffer_destroy(buffer_t *buffer)
{
    free(buffer->data);
    *buffer = (buffer_t){0};
}
